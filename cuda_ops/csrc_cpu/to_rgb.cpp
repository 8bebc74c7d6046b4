// The step to RGB, for the CPU: 1x1 convolution to three channels, bias, limit, and the image of the block before
// enlarged by a separable filter, in one pass over a channels-last image. Sums and the image are in float32.
#include <cstdint>
#include <cstdlib>

#include "floats.h"
#include "threads.h"

namespace {
constexpr int64_t kColours = 3;
}

// Field by field that of `cuda_ops/cpu_library.py`.
extern "C" struct ToRgb {
  int64_t n, c, h, w;      // of the hidden image, [n, h, w, c]
  const void* x;
  float* y;                // [n, h, w, 3]
  const float* weight;     // [n, 3, c]
  const float* bias;       // [3]
  const float* skip;       // [n, h / 2, w / 2, 3] or none
  void* parallel;          // GOMP_parallel of torch's OpenMP runtime, or none: one thread
  int32_t threads, dtype;  // dtype 0: float32, 2: bfloat16
  // Sample s of the enlarged image is the sum of tap[j] times sample s + j - 2 of one with zeros in between.
  float along_y[4], along_x[4];
  float limit;  // before the skip is added; below 0: none
};

namespace {

// The colours of a pixel, and a 0.
typedef float Colours __attribute__((vector_size(16)));
// Pixels whose colours a register holds; their sums fit the registers as well.
constexpr int kPixels = kLanes / 4;

#if defined(__clang__) || __GNUC__ >= 12
#define PICKED(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PICKED(a, b, ...) __builtin_shuffle(a, b, Signed{__VA_ARGS__})
#endif

// Of every four lanes of two registers: the first two or last two in turn, and the first or last two in a row.
#if defined(__AVX512F__)
#define FIRST_IN_TURN 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define LAST_IN_TURN 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define FIRST_PAIRS 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define LAST_PAIRS 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#else
#define FIRST_IN_TURN 0, 8, 1, 9, 4, 12, 5, 13
#define LAST_IN_TURN 2, 10, 3, 11, 6, 14, 7, 15
#define FIRST_PAIRS 0, 1, 8, 9, 4, 5, 12, 13
#define LAST_PAIRS 2, 3, 10, 11, 6, 7, 14, 15
#endif

// Lane o of each four: what the four lanes of colour o add up to.
inline Floats fours(Floats red, Floats green, Floats blue) {
  const Floats none = {};
  const Floats first = PICKED(red, green, FIRST_IN_TURN) + PICKED(red, green, LAST_IN_TURN);
  const Floats second = PICKED(blue, none, FIRST_IN_TURN) + PICKED(blue, none, LAST_IN_TURN);
  return PICKED(first, second, FIRST_PAIRS) + PICKED(first, second, LAST_PAIRS);
}

// The sums of all lanes, the colours of `kPixels` pixels one after the other.
inline Floats added_up(const Floats sums[kPixels][kColours]) {
  Floats pixels[kPixels];
#pragma GCC unroll 4
  for (int p = 0; p < kPixels; ++p) pixels[p] = fours(sums[p][0], sums[p][1], sums[p][2]);
#if defined(__AVX512F__)
#define FRONT 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define BACK 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define EVEN 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27
#define ODD 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31
  const Floats front = PICKED(pixels[0], pixels[1], FRONT) + PICKED(pixels[0], pixels[1], BACK);
  const Floats back = PICKED(pixels[2], pixels[3], FRONT) + PICKED(pixels[2], pixels[3], BACK);
  return PICKED(front, back, EVEN) + PICKED(front, back, ODD);
#else
  return PICKED(pixels[0], pixels[1], 0, 1, 2, 3, 8, 9, 10, 11) +
         PICKED(pixels[0], pixels[1], 4, 5, 6, 7, 12, 13, 14, 15);
#endif
}

// `kPixels` pixels times the weights of one image; behind the last one it is read again.
template <class T>
inline __attribute__((always_inline)) Floats project(const T* from, int64_t last, int64_t c, const float* weight) {
  Floats sums[kPixels][kColours] = {};
  const T* pixels[kPixels];
  for (int p = 0; p < kPixels; ++p) pixels[p] = from + (p < last ? p : last) * c;
  int64_t k = 0;
  for (; k + kLanes <= c; k += kLanes) {
    Floats weights[kColours];
#pragma GCC unroll 3
    for (int64_t o = 0; o < kColours; ++o) weights[o] = load(weight + o * c + k);
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) {
      const Floats x = load(pixels[p] + k);
#pragma GCC unroll 3
      for (int64_t o = 0; o < kColours; ++o) sums[p][o] += x * weights[o];
    }
  }
  Floats colours = added_up(sums);
  for (; k < c; ++k) {
    for (int lane = 0; lane < kLanes; ++lane) {
      if (lane % 4 < kColours) colours[lane] += wide(pixels[lane / 4][k]) * weight[lane % 4 * c + k];
    }
  }
  return colours;
}

// Row `row` of the image of the block before, enlarged. `narrow` is scratch for half as many pixels and two more,
// of which the first and the last are zeros.
void enlarge_row(const ToRgb& a, int64_t n, int64_t row, Colours* narrow, Colours* to) {
  const int64_t height = a.h / 2, width = a.w / 2;
  // An even row lies on a sample and looks back to the one before it, an odd row looks ahead.
  const int64_t first = row % 2 ? row / 2 : row / 2 - 1;
  float taps[2] = {a.along_y[row % 2], a.along_y[row % 2 + 2]};
  const float* rows[2];
  for (int64_t j = 0; j < 2; ++j) {
    const bool inside = first + j >= 0 && first + j < height;
    if (!inside) taps[j] = 0;
    rows[j] = a.skip + (n * height + (inside ? first + j : row / 2)) * width * kColours;
  }
  for (int64_t p = 0; p < width; ++p) {
    const float *const above = rows[0] + p * kColours, *const below = rows[1] + p * kColours;
    const Colours one = {above[0], above[1], above[2], 0}, other = {below[0], below[1], below[2], 0};
    narrow[p + 1] = one * taps[0] + other * taps[1];
  }
  for (int64_t p = 0; p < width; ++p) {
    to[2 * p] = narrow[p] * a.along_x[0] + narrow[p + 1] * a.along_x[2];
    to[2 * p + 1] = narrow[p + 1] * a.along_x[1] + narrow[p + 2] * a.along_x[3];
  }
}

template <class T>
void rgb_row(const ToRgb& a, int64_t n, int64_t row, const Colours* enlarged) {
  const T* const from = static_cast<const T*>(a.x) + (n * a.h + row) * a.w * a.c;
  float* const to = a.y + (n * a.h + row) * a.w * kColours;
  const float* const weight = a.weight + n * kColours * a.c;
  Floats bias;
  for (int lane = 0; lane < kLanes; ++lane) bias[lane] = lane % 4 < kColours ? a.bias[lane % 4] : 0;
  for (int64_t p = 0; p < a.w; p += kPixels) {
    // Nothing is scaled, the slope is 1: bias and limit are all that is left of it.
    Floats sum = finished(project(from + p * a.c, a.w - p - 1, a.c, weight), spread(1), bias, 1, a.limit);
    if (enlarged) {
      Floats more;
      std::memcpy(&more, enlarged + p, sizeof more);
      sum += more;
    }
    float pixels[kLanes];
    store(sum, pixels);
    const int64_t count = p + kPixels <= a.w ? kPixels : a.w - p;
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t o = 0; o < kColours; ++o) to[(p + i) * kColours + o] = pixels[i * 4 + o];
    }
  }
}

template <class T>
void rgb_work(Job<ToRgb>& job) {
  const ToRgb& a = *job.a;
  const int64_t total = a.n * a.h, rows = rows_at_once(total, a.threads);
  const int64_t enlarged = a.w + kPixels;
  Colours* memory = nullptr;
  if (a.skip) {
    const size_t bytes = sizeof(Colours) * static_cast<size_t>(enlarged + a.w / 2 + 2);
    memory = static_cast<Colours*>(std::aligned_alloc(sizeof(Colours), bytes));
    if (memory == nullptr) {
      job.failed = 1;
      return;
    }
    std::memset(memory, 0, bytes);
  }
  for (int64_t piece; (piece = job.take()) >= 0;) {
    const int64_t end = (piece + 1) * rows < total ? (piece + 1) * rows : total;
    for (int64_t each = piece * rows; each < end; ++each) {
      if (memory) enlarge_row(a, each / a.h, each % a.h, memory + enlarged, memory);
      rgb_row<T>(a, each / a.h, each % a.h, memory);
    }
  }
  std::free(memory);
}

void to_rgb_entry(void* given) {
  Job<ToRgb>& job = *static_cast<Job<ToRgb>*>(given);
  if (job.a->dtype == 0) {
    rgb_work<float>(job);
  } else {
    rgb_work<Bfloat16>(job);
  }
}

}  // namespace

EXPORTED int64_t cpu_ops_to_rgb_size() { return sizeof(ToRgb); }

// 0, or 1 where memory for a row was not to be had; what `y` holds is then undefined.
EXPORTED int cpu_ops_to_rgb(const ToRgb* a) {
  Job<ToRgb> job;
  job.a = a;
  const int64_t total = a->n * a->h, rows = rows_at_once(total, a->threads);
  job.pieces = (total + rows - 1) / rows;
  return run(job, to_rgb_entry, a->parallel, a->threads);
}
