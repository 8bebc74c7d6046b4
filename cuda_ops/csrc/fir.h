// FIR filter of up to 4×4 taps with up- or down-sampling by 2, and what follows a convolution in the same pass.
//
// A thread makes kStrip outputs below each other: an input row is read once and filtered along x once where the
// filter is an outer product (as [1, 3, 3, 1] is; the weights themselves tell), and then spread over the outputs.
#pragma once

#include "epilogue.h"

namespace cuda_ops {

constexpr int kStrip = 4;
constexpr int kTaps = 4;

struct FirArguments {
  Place place;
  int64_t n, c, h, w;      // of x
  int64_t out_h, out_w;    // of y
  int64_t x_strides[4];    // of n, c, h, w, in elements
  int64_t pad_x, pad_y;    // zeros before the first sample of the up-sampled image; negative: cropped
  const void* x;
  void* y;                 // dense, in the layout of place
  const void* taps;        // Wide [taps_y, taps_x]
  int32_t taps_x, taps_y;  // at most kTaps
  int32_t up, down;        // (1, 1), (2, 1) or (1, 2)
  int32_t flip;            // 1 correlates, 0 convolves
  int32_t unused;
  double gain;             // of the filter
  Ending ending;
};

// First sample at or after position `first` of an image that was up-sampled by UP, and how far after.
template <int UP>
HD int64_t first_sample(int64_t first, int& after) {
  const int64_t sample = UP == 1 ? first : (first + (first & 1)) / UP;
  after = static_cast<int>(sample * UP - first);
  return sample;
}

template <class T, int V, int UP, int DOWN>
struct Fir {
  using W = Wide<T>;
  // Output r of a strip sees row j of the input through tap `after + j·UP − r·DOWN`, `after` below UP.
  static constexpr int kFirst = 1 - UP, kHigh = kTaps - kFirst, kWide = kTaps / UP;
  static constexpr int kInputRows = UP == 1 ? (kStrip - 1) * DOWN + kTaps : (kStrip + 2 + kTaps) / UP - 1;
  static constexpr int kPivot = 1 - kFirst;

  FirArguments a;

  HD W tap(int y, int x) const {
    if (y < 0 || y >= a.taps_y || x < 0 || x >= a.taps_x) return 0;
    if (!a.flip) {
      y = a.taps_y - 1 - y;
      x = a.taps_x - 1 - x;
    }
    return static_cast<const W*>(a.taps)[y * a.taps_x + x] * static_cast<W>(a.gain);
  }

  HD void operator()(int64_t i) const {
    const int64_t packs = a.c / V, strips = (a.out_h + kStrip - 1) / kStrip;
    int64_t c, ox, rest;
    if (a.place.channels_last) {
      const int64_t pixel = quotient(i, packs);
      c = (i - pixel * packs) * V;
      rest = quotient(pixel, a.out_w);
      ox = pixel - rest * a.out_w;
    } else {
      const int64_t row = quotient(i, a.out_w);
      ox = i - row * a.out_w;
      const int64_t strip = quotient(row, strips), sample = quotient(strip, packs);
      c = (strip - sample * packs) * V;
      rest = sample * strips + (row - strip * strips);
    }
    const int64_t n = quotient(rest, strips), oy = (rest - n * strips) * kStrip;

    int after_y, after_x;
    const int64_t first_y = first_sample<UP>(oy * DOWN - a.pad_y, after_y);
    const int64_t first_x = first_sample<UP>(ox * DOWN - a.pad_x, after_x);
    W q[kHigh][kWide], ratio[kHigh];
    bool separable = true;
#pragma unroll
    for (int k = 0; k < kHigh; ++k) {
#pragma unroll
      for (int m = 0; m < kWide; ++m) q[k][m] = tap(after_y + k + kFirst, after_x + m * UP);
    }
#pragma unroll
    for (int k = 0; k < kHigh; ++k) {
      separable = separable && q[kPivot][0] != 0;
      ratio[k] = separable ? q[k][0] / q[kPivot][0] : W(0);
#pragma unroll
      for (int m = 1; m < kWide; ++m) {
        const W off = q[k][m] - ratio[k] * q[kPivot][m], most = W(5e-7) * q[k][m];
        separable = separable && off * off <= most * most;
      }
    }

    W acc[kStrip][V] = {};
    const T* const x = static_cast<const T*>(a.x) + n * a.x_strides[0] + c * a.x_strides[1];
#pragma unroll
    for (int j = 0; j < kInputRows; ++j) {
      const int64_t iy = first_y + j;
      if (iy < 0 || iy >= a.h) continue;
      W seen[kWide][V];
#pragma unroll
      for (int m = 0; m < kWide; ++m) {
        const int64_t ix = first_x + m;
        if (ix >= 0 && ix < a.w) {
          load<T, V>(x + iy * a.x_strides[2] + ix * a.x_strides[3], seen[m]);
        } else {
#pragma unroll
          for (int v = 0; v < V; ++v) seen[m][v] = 0;
        }
      }
      if (separable) {
#pragma unroll
        for (int v = 0; v < V; ++v) {
          W along = 0;
#pragma unroll
          for (int m = 0; m < kWide; ++m) along += q[kPivot][m] * seen[m][v];
#pragma unroll
          for (int r = 0; r < kStrip; ++r) {
            const int k = j * UP - r * DOWN - kFirst;
            if (k >= 0 && k < kHigh) acc[r][v] += ratio[k] * along;
          }
        }
      } else {
#pragma unroll
        for (int r = 0; r < kStrip; ++r) {
          const int k = j * UP - r * DOWN - kFirst;
          if (k >= 0 && k < kHigh) {
#pragma unroll
            for (int m = 0; m < kWide; ++m) {
#pragma unroll
              for (int v = 0; v < V; ++v) acc[r][v] += q[k][m] * seen[m][v];
            }
          }
        }
      }
    }

    const int64_t pixels = a.out_h * a.out_w;
#pragma unroll
    for (int r = 0; r < kStrip; ++r) {
      if (oy + r >= a.out_h) break;
      const int64_t p = (oy + r) * a.out_w + ox;
#pragma unroll
      for (int v = 0; v < V; ++v) acc[r][v] = ended<T>(a.ending, acc[r][v], n, c + v, p, a.c, pixels);
      const int64_t to = a.place.channels_last ? (n * pixels + p) * a.c + c : (n * a.c + c) * pixels + p;
      store<T, V>(acc[r], static_cast<T*>(a.y) + to);
    }
  }
};

template <class T, int V>
int run_fir(const FirArguments& a) {
  const int64_t count = a.n * divided_up(a.out_h, kStrip) * a.out_w * (a.c / V);
  if (a.up == 1 && a.down == 1) return run_flat(a.place, Fir<T, V, 1, 1>{a}, count);
  if (a.up == 2 && a.down == 1) return run_flat(a.place, Fir<T, V, 2, 1>{a}, count);
  if (a.up == 1 && a.down == 2) return run_flat(a.place, Fir<T, V, 1, 2>{a}, count);
  return kUnsupported;
}

}  // namespace cuda_ops
