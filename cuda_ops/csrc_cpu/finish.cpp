// What follows a convolution of the generator, for the CPU: FIR filter, demodulation, noise, bias, leaky ReLU,
// gain and clamp in one pass over a channels-last image. Plain torch takes four to six passes for the same.
//
// Plain C outside and no symbol from anywhere.
#include <cstdint>
#include <cstdlib>

#include "floats.h"
#include "threads.h"

namespace {
constexpr int kMostTaps = 4;
}

// Field by field that of `cuda_ops/cpu_library.py`.
extern "C" struct Finish {
  int64_t n, c, h, w;      // of the result, [n, h, w, c]
  int64_t in_h, in_w;      // of what is read
  int64_t pad_y, pad_x;    // zeros before it; taps read [row - pad_y, row - pad_y + taps_y)
  const void* x;
  const void* odd;         // rows 1, 3, 5, ... where x holds only rows 0, 2, 4, ...; or none
  void* y;                 // may be x where there are no taps
  const float* scale;      // [n, c], times gain
  const float* bias;       // [c], times gain
  const void* noise;       // [noise_n, h, w] or none, of the image's number type
  int64_t noise_n;
  void* parallel;          // GOMP_parallel of torch's OpenMP runtime, or none: one thread
  int32_t threads, dtype;  // dtype 0: float32, 2: bfloat16
  int32_t taps_y, taps_x;  // 0: no filter
  float along_y[kMostTaps], along_x[kMostTaps];
  float strength, slope, limit;  // strength times gain; limit below 0: none
};

namespace {

// A row of what is read.
template <class T>
const T* row_of(const Finish& a, int64_t n, int64_t row) {
  const int64_t length = a.in_w * a.c;
  if (!a.odd) return static_cast<const T*>(a.x) + (n * a.in_h + row) * length;
  const int64_t odd = row & 1, rows = (a.in_h + 1 - odd) / 2;
  return static_cast<const T*>(odd ? a.odd : a.x) + (n * rows + row / 2) * length;
}

// One row without a filter.
template <class T>
void plain_row(const Finish& a, int64_t n, const T* from, T* to, const T* noise) {
  const int64_t c = a.c, w = a.w;
  const float* const scale = a.scale + n * c;
  const float* const bias = a.bias;
  const float slope = a.slope, limit = a.limit, strength = a.strength;
  for (int64_t p = 0; p < w; ++p, from += c, to += c) {
    const float added = noise ? wide(noise[p]) * strength : 0.0f;
    int64_t k = 0;
    for (; k + kLanes <= c; k += kLanes) {
      store(finished(load(from + k), load(scale + k), load(bias + k) + added, slope, limit), to + k);
    }
    for (; k < c; ++k) narrow(finished(wide(from[k]), scale[k], bias[k] + added, slope, limit), to + k);
  }
}

// Up to `kRows` rows of the result at a time, as many channels as a register holds from left to right: what the columns sum up
// to stays in registers for the taps along x, and a row that several results read is converted once.
template <class T, int kRows>
void filtered_rows(const Finish& a, int64_t n, int64_t row, const T* zeros, T* to, const T* noise) {
  const int64_t c = a.c, w = a.w, in_w = a.in_w, first = row - a.pad_y;
  const float* const scale = a.scale + n * c;
  const float* const bias = a.bias;
  const float slope = a.slope, limit = a.limit, strength = a.strength;
  constexpr int kRead = kRows + kMostTaps - 1;
  const T* rows[kRead];
  for (int j = 0; j < kRead; ++j) {
    const bool inside = first + j >= 0 && first + j < a.in_h;
    rows[j] = inside ? row_of<T>(a, n, first + j) : zeros;
  }
  float down[kMostTaps], across[kMostTaps];
  for (int i = 0; i < kMostTaps; ++i) down[i] = a.along_y[i], across[i] = a.along_x[i];
  for (int64_t k = 0; k < c; k += kLanes) {
    const Floats factor = load(scale + k), offset = load(bias + k);
    Floats window[kRows][kMostTaps] = {};
    const auto read = [&](int64_t column, int slot) {
      if (column < 0 || column >= in_w) {
        for (int r = 0; r < kRows; ++r) window[r][slot] = Floats{};
        return;
      }
      Floats pixel[kRead];
      for (int j = 0; j < kRead; ++j) pixel[j] = load(rows[j] + column * c + k);
      for (int r = 0; r < kRows; ++r) {
        window[r][slot] = pixel[r] * down[0] + pixel[r + 1] * down[1] + pixel[r + 2] * down[2] +
                          pixel[r + 3] * down[3];
      }
    };
    for (int i = 0; i < kMostTaps - 1; ++i) read(i - a.pad_x, i);
    for (int64_t p = 0; p < w; ++p) {
      read(p - a.pad_x + kMostTaps - 1, kMostTaps - 1);
      for (int r = 0; r < kRows; ++r) {
        Floats* const at = window[r];
        const Floats sum = at[0] * across[0] + at[1] * across[1] + at[2] * across[2] + at[3] * across[3];
        const float added = noise ? wide(noise[r * w + p]) * strength : 0.0f;
        store(finished(sum, factor, offset + added, slope, limit), to + (r * w + p) * c + k);
        at[0] = at[1], at[1] = at[2], at[2] = at[3];
      }
    }
  }
}

// The same for any number of channels and any filter up to 4x4.
template <class T>
void filtered_row(const Finish& a, int64_t n, int64_t row, T* to, const T* noise) {
  const int64_t first = row - a.pad_y;
  const T* rows[kMostTaps];
  for (int j = 0; j < a.taps_y; ++j) {
    rows[j] = first + j >= 0 && first + j < a.in_h ? row_of<T>(a, n, first + j) : nullptr;
  }
  for (int64_t p = 0; p < a.w; ++p, to += a.c) {
    const float added = noise ? wide(noise[p]) * a.strength : 0.0f;
    for (int64_t k = 0; k < a.c; ++k) {
      float sum = 0;
      for (int i = 0; i < a.taps_x; ++i) {
        const int64_t column = p - a.pad_x + i;
        if (column < 0 || column >= a.in_w) continue;
        for (int j = 0; j < a.taps_y; ++j) {
          if (rows[j]) sum += wide(rows[j][column * a.c + k]) * (a.along_y[j] * a.along_x[i]);
        }
      }
      narrow(finished(sum, a.scale[n * a.c + k], a.bias[k] + added, a.slope, a.limit), to + k);
    }
  }
}

template <class T>
void work(Job<Finish>& job) {
  const Finish& a = *job.a;
  const int64_t total = a.n * a.h, rows = rows_at_once(total, a.threads);
  const bool in_blocks = a.taps_y == kMostTaps && a.taps_x == kMostTaps && a.c % kLanes == 0;
  T* zeros = nullptr;
  if (in_blocks && (zeros = static_cast<T*>(std::calloc(a.in_w * a.c, sizeof(T)))) == nullptr) {
    job.failed = 1;
    return;
  }
  for (int64_t piece; (piece = job.take()) >= 0;) {
    const int64_t end = (piece + 1) * rows < total ? (piece + 1) * rows : total;
    for (int64_t each = piece * rows; each < end;) {
      const int64_t n = each / a.h, row = each % a.h;
      T* const to = static_cast<T*>(a.y) + each * a.w * a.c;
      const T* noise = static_cast<const T*>(a.noise);
      if (noise) noise += ((a.noise_n == 1 ? 0 : n) * a.h + row) * a.w;
      if (in_blocks && each + 2 < end && row + 2 < a.h) {
        filtered_rows<T, 3>(a, n, row, zeros, to, noise);
        each += 3;
        continue;
      }
      if (in_blocks) {
        filtered_rows<T, 1>(a, n, row, zeros, to, noise);
      } else if (a.taps_y > 0) {
        filtered_row(a, n, row, to, noise);
      } else {
        plain_row(a, n, static_cast<const T*>(a.x) + each * a.w * a.c, to, noise);
      }
      ++each;
    }
  }
  std::free(zeros);
}

void finish_entry(void* given) {
  Job<Finish>& job = *static_cast<Job<Finish>*>(given);
  if (job.a->dtype == 0) {
    work<float>(job);
  } else {
    work<Bfloat16>(job);
  }
}

}  // namespace

EXPORTED const char* cpu_ops_key() { return CUDA_OPS_KEY; }

EXPORTED int64_t cpu_ops_size() { return sizeof(Finish); }

// 0, or 1 where memory for a row was not to be had; what `y` holds is then undefined.
EXPORTED int cpu_ops_finish(const Finish* a) {
  Job<Finish> job;
  job.a = a;
  const int64_t total = a->n * a->h, rows = rows_at_once(total, a->threads);
  job.pieces = (total + rows - 1) / rows;
  return run(job, finish_entry, a->parallel, a->threads);
}
