// A 3x3 convolution of a channels-last image in float32, and what follows it in the generator, in one pass: 36
// products of small matrices for each 4x4 pixels of the result, a quarter of the multiplications.
//
// Source: Lavin & Gray, Fast Algorithms for Convolutional Neural Networks (CVPR 2016), F(4x4, 3x3). A thread
// takes a block of tiles from the image to the result while it stays in the thread's cache; the weights, which
// `cuda_ops/winograd.py` has transformed, stream past. Modulation rides on the reading, the rest on the writing.
#include <cstdint>
#include <cstdlib>

#include "floats.h"
#include "threads.h"

// Field by field that of `cuda_ops/cpu_library.py`.
extern "C" struct Winograd {
  int64_t n, in_c, out_c, h, w;  // in_c a multiple of 16, out_c of 32
  const float* x;                // [n, h, w, in_c]
  float* y;                      // [n, h, w, out_c]
  const float* weight;           // [out_c / 32, 36, in_c, 32]
  const float* style;            // [n, in_c] or none
  const float* scale;            // [n, out_c], times gain
  const float* bias;             // [out_c], times gain
  const float* noise;            // [noise_n, h, w] or none
  int64_t noise_n;
  void* parallel;
  int32_t threads;
  float strength, slope, limit;  // strength times gain; limit below 0: none
};

namespace {

constexpr int64_t kTile = 4;         // pixels of the result along a side
constexpr int64_t kSide = kTile + 2;  // pixels read for them
constexpr int64_t kPoints = kSide * kSide;
constexpr int64_t kWidth = 32;  // channels of the result at a time
constexpr int64_t kVectors = kWidth / kLanes;
// Rows of a product whose sums the registers hold.
#if defined(__AVX512F__)
constexpr int kRows = 12, kFew = 4;
#else
constexpr int kRows = 3, kFew = 1;
#endif
// Numbers between matrices, so that those of one tile do not all fall into one set of the cache.
constexpr int64_t kApart = 16;

// How the work is cut: blocks of tiles, and where those are too few for the threads, of channels of the result.
struct Cut {
  int64_t tiles_x, tiles, block, blocks, channels, parts;
};

Cut cut_for(const Winograd& a) {
  Cut cut;
  cut.tiles_x = (a.w + kTile - 1) / kTile;
  cut.tiles = a.n * cut.tiles_x * ((a.h + kTile - 1) / kTile);
  // What is read of a block is to fit the second-level cache next to the weights that stream past.
  const int64_t most = a.in_c > 256 ? 36 : 48;
  const int64_t pieces = (cut.tiles + most * a.threads - 1) / (most * a.threads) * a.threads;
  const int64_t even = (cut.tiles + pieces - 1) / pieces;
  cut.block = (even + kFew - 1) / kFew * kFew;
  cut.blocks = (cut.tiles + cut.block - 1) / cut.block;
  const int64_t groups = a.out_c / kWidth;
  const int64_t wanted = cut.blocks < a.threads ? (a.threads + cut.blocks - 1) / cut.blocks : 1;
  cut.channels = (groups + wanted - 1) / wanted;
  cut.parts = (groups + cut.channels - 1) / cut.channels;
  return cut;
}

struct Shared : Winograd {
  Cut cut;
};

// Bᵀ d of one column.
inline void to_points(const Floats d[kSide], Floats* out, int64_t step) {
  const Floats a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1];
  const Floats c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
  out[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
  out[step] = a + b;
  out[2 * step] = a - b;
  out[3 * step] = c + e;
  out[4 * step] = c - e;
  out[5 * step] = 4.0f * d[1] - 5.0f * d[3] + d[5];
}

// Aᵀ m of one column.
inline void from_points(const Floats m[kSide], Floats* out, int64_t step) {
  const Floats a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
  out[0] = m[0] + a + c;
  out[step] = b + 2.0f * d;
  out[2 * step] = a + 4.0f * c;
  out[3 * step] = b + 8.0f * d + m[5];
}

struct Place {
  int64_t n, row, column;  // of the first pixel of a tile
};

inline Place place_of(const Winograd& a, const Cut& cut, int64_t tile) {
  const int64_t tiles_y = (a.h + kTile - 1) / kTile;
  const int64_t row = tile / cut.tiles_x;
  return {row / tiles_y, row % tiles_y * kTile, tile % cut.tiles_x * kTile};
}

// A register of channels of a tile, transformed, into one row of each of the 36 matrices. `pixel(i, j)` loads them.
template <class Pixel>
inline void transform(const Pixel& pixel, Floats style, float* to, int64_t matrix) {
  Floats half[kPoints];
#pragma GCC unroll 6
  for (int64_t j = 0; j < kSide; ++j) {
    Floats column[kSide];
#pragma GCC unroll 6
    for (int64_t i = 0; i < kSide; ++i) column[i] = pixel(i, j);
    to_points(column, half + j, kSide);
  }
#pragma GCC unroll 6
  for (int64_t i = 0; i < kSide; ++i) {
    Floats whole[kSide];
    to_points(half + i * kSide, whole, 1);
#pragma GCC unroll 6
    for (int64_t j = 0; j < kSide; ++j) store(whole[j] * style, to + (i * kSide + j) * matrix);
  }
}

// One tile of the image into one row of each of the 36 matrices.
void read_tile(const Winograd& a, Place at, const float* zeros, float* to, int64_t matrix) {
  const float* const style = a.style ? a.style + at.n * a.in_c : nullptr;
  const int64_t row = at.row - 1, column = at.column - 1, wide = a.w * a.in_c;
  const float* const image = a.x + at.n * a.h * wide;
  if (row >= 0 && column >= 0 && row + kSide <= a.h && column + kSide <= a.w) {
    const float* from = image + row * wide + column * a.in_c;
    for (int64_t k = 0; k < a.in_c; k += kLanes, from += kLanes, to += kLanes) {
      const auto pixel = [&](int64_t i, int64_t j) { return load(from + i * wide + j * a.in_c); };
      transform(pixel, style ? load(style + k) : spread(1.0f), to, matrix);
    }
    return;
  }
  const float* from[kPoints];
  for (int64_t i = 0; i < kSide; ++i) {
    for (int64_t j = 0; j < kSide; ++j) {
      const bool inside = row + i >= 0 && row + i < a.h && column + j >= 0 && column + j < a.w;
      from[i * kSide + j] = inside ? image + (row + i) * wide + (column + j) * a.in_c : zeros;
    }
  }
  for (int64_t k = 0; k < a.in_c; k += kLanes, to += kLanes) {
    const auto pixel = [&](int64_t i, int64_t j) { return load(from[i * kSide + j] + k); };
    transform(pixel, style ? load(style + k) : spread(1.0f), to, matrix);
  }
}

// `rows` rows of one matrix times 32 channels of the weights.
template <int rows>
void multiply(const float* v, int64_t depth, const float* weight, float* to) {
  Floats sums[rows][kVectors] = {};
  for (int64_t k = 0; k < depth; ++k, weight += kWidth) {
    Floats weights[kVectors];
#pragma GCC unroll 4
    for (int64_t j = 0; j < kVectors; ++j) weights[j] = load(weight + j * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const Floats x = spread(v[r * depth + k]);
#pragma GCC unroll 4
      for (int64_t j = 0; j < kVectors; ++j) sums[r][j] += x * weights[j];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int64_t j = 0; j < kVectors; ++j) store(sums[r][j], to + r * kWidth + j * kLanes);
  }
}

// 32 channels of one tile, transformed back and finished, into the result.
void write_tile(const Winograd& a, Place at, int64_t channel, const float* from, int64_t matrix) {
  const int64_t first = at.row * a.w + at.column;
  const int64_t rows = a.h - at.row < kTile ? a.h - at.row : kTile;
  const int64_t columns = a.w - at.column < kTile ? a.w - at.column : kTile;
  float added[kTile * kTile] = {};
  if (a.noise) {
    const float* const noise = a.noise + (a.noise_n == 1 ? 0 : at.n) * a.h * a.w + first;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) added[i * kTile + j] = noise[i * a.w + j] * a.strength;
    }
  }
  for (int64_t k = channel; k < channel + kWidth; k += kLanes, from += kLanes) {
    Floats half[kTile * kSide], whole[kTile * kTile];
#pragma GCC unroll 6
    for (int64_t j = 0; j < kSide; ++j) {
      Floats column[kSide];
#pragma GCC unroll 6
      for (int64_t i = 0; i < kSide; ++i) column[i] = load(from + (i * kSide + j) * matrix);
      from_points(column, half + j, kSide);
    }
    const Floats scale = load(a.scale + at.n * a.out_c + k), bias = load(a.bias + k);
#pragma GCC unroll 4
    for (int64_t i = 0; i < kTile; ++i) {
      from_points(half + i * kSide, whole + i * kTile, 1);
#pragma GCC unroll 4
      for (int64_t j = 0; j < kTile; ++j) {
        const Floats offset = bias + spread(added[i * kTile + j]);
        whole[i * kTile + j] = finished(whole[i * kTile + j], scale, offset, a.slope, a.limit);
      }
    }
    float* const to = a.y + (at.n * a.h * a.w + first) * a.out_c + k;
    if (rows == kTile && columns == kTile) {
#pragma GCC unroll 16
      for (int64_t p = 0; p < kTile * kTile; ++p) {
        store(whole[p], to + (p / kTile * a.w + p % kTile) * a.out_c);
      }
      continue;
    }
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) store(whole[i * kTile + j], to + (i * a.w + j) * a.out_c);
    }
  }
}

void winograd_entry(void* given) {
  Job<Shared>& job = *static_cast<Job<Shared>*>(given);
  const Shared& a = *job.a;
  const Cut& cut = a.cut;
  const int64_t read = cut.block * a.in_c + kApart, written = cut.block * kWidth + kApart;
  const size_t bytes = sizeof(float) * static_cast<size_t>(kPoints * (read + written) + a.in_c);
  float* const memory = static_cast<float*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
  if (memory == nullptr) {
    job.failed = 1;
    return;
  }
  // Also the rows that no tile fills: what was in the memory before may be slow to multiply.
  std::memset(memory, 0, bytes);
  float* const products = memory + kPoints * read;
  const float* const zeros = products + kPoints * written;
  for (int64_t piece; (piece = job.take()) >= 0;) {
    const int64_t first = piece / cut.parts * cut.block, part = piece % cut.parts;
    const int64_t count = cut.tiles - first < cut.block ? cut.tiles - first : cut.block;
    for (int64_t t = 0; t < count; ++t) {
      read_tile(a, place_of(a, cut, first + t), zeros, memory + t * a.in_c, read);
    }
    const int64_t groups = a.out_c / kWidth;
    const int64_t last = (part + 1) * cut.channels < groups ? (part + 1) * cut.channels : groups;
    for (int64_t group = part * cut.channels; group < last; ++group) {
      for (int64_t point = 0; point < kPoints; ++point) {
        const float* const weight = a.weight + (group * kPoints + point) * a.in_c * kWidth;
        const float* const v = memory + point * read;
        float* const to = products + point * written;
        int64_t t = 0;
        for (; t + kRows <= cut.block; t += kRows) {
          multiply<kRows>(v + t * a.in_c, a.in_c, weight, to + t * kWidth);
        }
        for (; t < count; t += kFew) multiply<kFew>(v + t * a.in_c, a.in_c, weight, to + t * kWidth);
      }
      for (int64_t t = 0; t < count; ++t) {
        write_tile(a, place_of(a, cut, first + t), group * kWidth, products + t * kWidth, written);
      }
    }
  }
  std::free(memory);
}

}  // namespace

EXPORTED int64_t cpu_ops_winograd_size() { return sizeof(Winograd); }

// 0, or 1 where there was no memory; what `y` holds is then undefined.
EXPORTED int cpu_ops_winograd(const Winograd* given) {
  Shared a;
  static_cast<Winograd&>(a) = *given;
  a.cut = cut_for(a);
  Job<Shared> job;
  job.a = &a;
  job.pieces = a.cut.blocks * a.cut.parts;
  return run(job, winograd_entry, a.parallel, a.threads);
}
