// y = mask · x + (1 − mask) · other, with one mask for all channels, and its derivative.
#pragma once

#include "launch.h"
#include "tile.h"

namespace cuda_ops {

struct MaskBlendArguments {
  Place place;
  int64_t n, c, h, w;
  const void* x;
  const void* other;
  const void* mask;  // [mask_batch, h, w]
  void* y;
  int64_t mask_batch;
  int32_t mask_narrow;  // 1: stored as T, 0: as Wide<T>
  int32_t unused;
};

template <class T, int V, bool LAST>
struct MaskBlendForward {
  MaskBlendArguments a;

  HD void operator()(int64_t i) const {
    const int64_t pixels = a.h * a.w, packs = (LAST ? a.c : pixels) / V, middle = LAST ? pixels : a.c;
    const int64_t row = quotient(i, packs), inner = (i - row * packs) * V;
    const int64_t n = quotient(row, middle), outer = row - n * middle;
    Wide<T> x[V], other[V];
    load<T, V>(static_cast<const T*>(a.x) + i * V, x);
    load<T, V>(static_cast<const T*>(a.other) + i * V, other);
#pragma unroll
    for (int k = 0; k < V; ++k) {
      const int64_t p = (a.mask_batch == 1 ? 0 : n * pixels) + (LAST ? outer : inner + k);
      const Wide<T> m = number<T>(a.mask, a.mask_narrow, p);
      x[k] = m * x[k] + (1 - m) * other[k];
    }
    store<T, V>(x, static_cast<T*>(a.y) + i * V);
  }
};

// of_x = g · mask, of_other = g · (1 − mask), of the mask: Σ_c g · (x − other).
struct MaskBlendBackwardArguments {
  Place place;
  int64_t n, c, h, w;
  const void* g;
  const void* x;  // null where no sum is wanted
  const void* other;
  const void* mask;
  void* of_x;
  void* of_other;
  void* channel_sum;      // null; here for the tile
  void* channel_product;  // null
  void* pixel_sum;        // Wide [n, tiles, h, w] or null
  int64_t mask_batch;
  int32_t mask_narrow;
  int32_t unused;
};

template <class T, int V, bool LAST>
struct MaskBlendBackward {
  using Number = T;
  static constexpr int kPack = V;
  static constexpr bool kLast = LAST;
  MaskBlendBackwardArguments a;

  HD void operator()(const Spot& s, Wide<T> (&sum)[V], Wide<T> (&)[V]) const {
    Wide<T> g[V], x[V] = {}, other[V] = {};
    load<T, V>(static_cast<const T*>(a.g) + s.offset, g);
    if (a.pixel_sum) {
      load<T, V>(static_cast<const T*>(a.x) + s.offset, x);
      load<T, V>(static_cast<const T*>(a.other) + s.offset, other);
    }
#pragma unroll
    for (int k = 0; k < V; ++k) {
      const int64_t p = (a.mask_batch == 1 ? 0 : s.n * a.h * a.w) + (LAST ? s.middle : s.inner + k);
      const Wide<T> m = number<T>(a.mask, a.mask_narrow, p);
      sum[k] = g[k] * (x[k] - other[k]);
      x[k] = g[k] * m;
      other[k] = g[k] * (1 - m);
    }
    store<T, V>(x, static_cast<T*>(a.of_x) + s.offset);
    store<T, V>(other, static_cast<T*>(a.of_other) + s.offset);
  }
};

}  // namespace cuda_ops
