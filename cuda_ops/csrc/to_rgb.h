// 1×1 convolution to three channels with weights per sample, plus the enlarged image of the block before.
//
// y = clamp(Σ_c weight[n, o, c] · x[n, c] + bias[o]) + up-sampled skip, in Wide<T> whatever x is stored as.
#pragma once

#include "launch.h"

namespace cuda_ops {

constexpr int kColours = 3;

struct ToRgbArguments {
  Place place;
  int64_t n, c, h, w;       // of x, dense in the layout of place
  int64_t skip_h, skip_w;
  int64_t skip_strides[4];  // of n, c, h, w
  int64_t pad_x, pad_y;     // of the up-sampling
  const void* x;
  const void* weight;       // Wide [n, 3, c]
  const void* bias;         // Wide [3] or null
  const void* skip;         // Wide or null
  const void* taps;         // Wide [taps_y, taps_x], a convolution
  void* y;                  // Wide, in the layout of x
  int32_t taps_x, taps_y;
  double limit;             // below 0: none
};

// Bias, limit and skip for one output.
template <class W>
HD void finish(const ToRgbArguments& a, W value, int64_t n, int o, int64_t p) {
  if (a.bias) value += static_cast<const W*>(a.bias)[o];
  const W limit = static_cast<W>(a.limit);
  if (limit >= 0) value = value > limit ? limit : (value < -limit ? -limit : value);
  if (a.skip) {
    const int64_t oy = quotient(p, a.w), ox = p - oy * a.w;
    const W* const skip = static_cast<const W*>(a.skip) + n * a.skip_strides[0] + o * a.skip_strides[1];
    W sum = 0;
    for (int64_t ty = (a.pad_y - oy) & 1; ty < a.taps_y; ty += 2) {
      const int64_t iy = (oy - a.pad_y + ty) >> 1;
      if (iy < 0 || iy >= a.skip_h) continue;
      for (int64_t tx = (a.pad_x - ox) & 1; tx < a.taps_x; tx += 2) {
        const int64_t ix = (ox - a.pad_x + tx) >> 1;
        if (ix < 0 || ix >= a.skip_w) continue;
        const W tap = static_cast<const W*>(a.taps)[(a.taps_y - 1 - ty) * a.taps_x + a.taps_x - 1 - tx];
        sum += tap * skip[iy * a.skip_strides[2] + ix * a.skip_strides[3]];
      }
    }
    value += sum;
  }
  const int64_t pixels = a.h * a.w;
  static_cast<W*>(a.y)[a.place.channels_last ? (n * pixels + p) * kColours + o : (n * kColours + o) * pixels + p] =
      value;
}

// Channels contiguous: 2^lanes_log threads share a pixel and add up in shared memory.
template <class T, int V>
struct ToRgbChannelsLast {
  using W = Wide<T>;
  static constexpr int kPixels = 4;  // of a thread, so that weights are read once for all of them

  struct Shared {
    W sum[kColours][kPixels][kThreads];
  };

  ToRgbArguments a;
  int64_t blocks_per_sample;
  int32_t lanes_log;
  int phases;

  HD void run(int phase, int64_t block, int thread, Shared& shared) const {
    const int64_t n = quotient(block, blocks_per_sample), pixels = a.h * a.w;
    const int lanes = 1 << lanes_log, lane = thread & (lanes - 1), groups = kThreads >> lanes_log;
    const int64_t first = (block - n * blocks_per_sample) * groups * kPixels + (thread >> lanes_log);
    if (phase == 0) {
      W sum[kColours][kPixels] = {};
      for (int64_t c = int64_t{lane} * V; c < a.c; c += int64_t{lanes} * V) {
        W weight[kColours][V];
#pragma unroll
        for (int o = 0; o < kColours; ++o) {
#pragma unroll
          for (int v = 0; v < V; ++v) weight[o][v] = static_cast<const W*>(a.weight)[(n * kColours + o) * a.c + c + v];
        }
#pragma unroll
        for (int j = 0; j < kPixels; ++j) {
          const int64_t p = first + j * groups;
          if (p >= pixels) continue;
          W x[V];
          load<T, V>(static_cast<const T*>(a.x) + (n * pixels + p) * a.c + c, x);
#pragma unroll
          for (int o = 0; o < kColours; ++o) {
#pragma unroll
            for (int v = 0; v < V; ++v) sum[o][j] += weight[o][v] * x[v];
          }
        }
      }
#pragma unroll
      for (int o = 0; o < kColours; ++o) {
#pragma unroll
        for (int j = 0; j < kPixels; ++j) shared.sum[o][j][thread] = sum[o][j];
      }
    } else if (phase < phases - 1) {
      const int half = lanes >> phase;
      if (lane >= half) return;
#pragma unroll
      for (int o = 0; o < kColours; ++o) {
#pragma unroll
        for (int j = 0; j < kPixels; ++j) shared.sum[o][j][thread] += shared.sum[o][j][thread + half];
      }
    } else {
      const int64_t start = (block - n * blocks_per_sample) * groups * kPixels;
      for (int item = thread; item < groups * kPixels * kColours; item += kThreads) {
        const int o = item % kColours, pixel = item / kColours, j = pixel / groups, group = pixel % groups;
        if (start + pixel < pixels) finish<W>(a, shared.sum[o][j][group << lanes_log], n, o, start + pixel);
      }
    }
  }
};

// Pixels contiguous: a thread makes V of them.
template <class T, int V>
struct ToRgbContiguous {
  using W = Wide<T>;
  ToRgbArguments a;

  HD void operator()(int64_t i) const {
    const int64_t pixels = a.h * a.w, packs = pixels / V, n = quotient(i, packs), p = (i - n * packs) * V;
    W sum[kColours][V] = {};
    for (int64_t c = 0; c < a.c; ++c) {
      W x[V];
      load<T, V>(static_cast<const T*>(a.x) + (n * a.c + c) * pixels + p, x);
#pragma unroll
      for (int o = 0; o < kColours; ++o) {
        const W weight = static_cast<const W*>(a.weight)[(n * kColours + o) * a.c + c];
#pragma unroll
        for (int v = 0; v < V; ++v) sum[o][v] += weight * x[v];
      }
    }
#pragma unroll
    for (int o = 0; o < kColours; ++o) {
#pragma unroll
      for (int v = 0; v < V; ++v) finish<W>(a, sum[o][v], n, o, p + v);
    }
  }
};

template <class T, int V>
int run_to_rgb(const ToRgbArguments& a) {
  const int64_t pixels = a.h * a.w;
  if (a.n == 0 || pixels == 0) return 0;
  if (!a.place.channels_last) return run_flat(a.place, ToRgbContiguous<T, V>{a}, a.n * (pixels / V));
  int lanes_log = 0;
  while ((int64_t{1} << lanes_log) * V < a.c && lanes_log < 5) ++lanes_log;
  const int64_t blocks = divided_up(pixels, (kThreads >> lanes_log) * ToRgbChannelsLast<T, V>::kPixels);
  return run_blocked(a.place, ToRgbChannelsLast<T, V>{a, blocks, lanes_log, lanes_log + 2}, a.n * blocks);
}

}  // namespace cuda_ops
