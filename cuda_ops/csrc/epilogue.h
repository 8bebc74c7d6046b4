// What follows a convolution: y = clamp(gain · lrelu(scale · x + strength · noise + bias), ±limit).
//
// scale [n, c] is the demodulation, noise [n or 1, 1, h, w], strength [1], bias [c]; each may be absent.
#pragma once

#include "launch.h"
#include "tile.h"

namespace cuda_ops {

// Mirrored in cuda_ops/arguments.py, like every argument list.
struct Ending {
  const void* scale;     // Wide [n, c]
  const void* noise;     // [noise_batch, h, w]
  const void* strength;  // [1]
  const void* bias;      // [c]
  int64_t noise_batch;
  int32_t noise_narrow, strength_narrow, bias_narrow;  // 1: stored as T, 0: as Wide<T>
  int32_t unused;
  double slope, gain, limit;  // limit below 0: none
};

template <class W>
HD W activated(W z, W slope, W gain, W limit) {
  const W y = (z > 0 ? z : z * slope) * gain;
  if (limit < 0) return y;
  return y > limit ? limit : (y < -limit ? -limit : y);
}

// Derivative of the activation, told from its result: the sign of y is that of z, since gain is above 0.
template <class T>
HD Wide<T> derivative(Wide<T> y, Wide<T> slope, Wide<T> gain, Wide<T> limit) {
  if (limit >= 0 && (y >= limit || y <= -limit)) return 0;
  return y > 0 ? gain : gain * slope;
}

// One number at sample n, channel c, pixel p (of `pixels`).
template <class T>
HD Wide<T> ended(const Ending& e, Wide<T> x, int64_t n, int64_t c, int64_t p, int64_t channels, int64_t pixels) {
  using W = Wide<T>;
  W z = x;
  if (e.scale) z *= static_cast<const W*>(e.scale)[n * channels + c];
  if (e.noise) {
    const W noise = number<T>(e.noise, e.noise_narrow, (e.noise_batch == 1 ? 0 : n * pixels) + p);
    z += noise * number<T>(e.strength, e.strength_narrow, 0);
  }
  if (e.bias) z += number<T>(e.bias, e.bias_narrow, c);
  return activated<W>(z, static_cast<W>(e.slope), static_cast<W>(e.gain), static_cast<W>(e.limit));
}

struct EpilogueArguments {
  Place place;
  int64_t n, c, h, w;
  const void* x;
  void* y;
  Ending ending;
};

template <class T, int V, bool LAST>
struct EpilogueForward {
  EpilogueArguments a;

  HD void operator()(int64_t i) const {
    const int64_t pixels = a.h * a.w, packs = (LAST ? a.c : pixels) / V;
    const int64_t row = quotient(i, packs), inner = (i - row * packs) * V;
    const int64_t middle = LAST ? pixels : a.c;
    const int64_t n = quotient(row, middle), outer = row - n * middle;
    Wide<T> v[V];
    load<T, V>(static_cast<const T*>(a.x) + i * V, v);
#pragma unroll
    for (int k = 0; k < V; ++k) {
      const int64_t c = LAST ? inner + k : outer, p = LAST ? outer : inner + k;
      v[k] = ended<T>(a.ending, v[k], n, c, p, a.c, pixels);
    }
    store<T, V>(v, static_cast<T*>(a.y) + i * V);
  }
};

// First derivative. With m the derivative of the activation and z = g · m it gives
//   gx = z · scale, Σ_p z and Σ_p z · x for every channel, Σ_c z for every pixel.
struct EpilogueBackwardArguments {
  Place place;
  int64_t n, c, h, w;
  const void* g;
  const void* x;  // null where no sum of products is wanted
  const void* y;  // null where nothing is activated
  const void* scale;  // Wide [n, c] or null
  void* gx;
  void* channel_sum;      // Wide [n, tiles, c] or null
  void* channel_product;  // Wide [n, tiles, c] or null
  void* pixel_sum;        // Wide [n, tiles, h, w] or null
  double slope, gain, limit;
};

template <class T, int V, bool LAST>
struct EpilogueBackward {
  using Number = T;
  static constexpr int kPack = V;
  static constexpr bool kLast = LAST;
  EpilogueBackwardArguments a;

  HD void operator()(const Spot& s, Wide<T> (&sum)[V], Wide<T> (&product)[V]) const {
    using W = Wide<T>;
    const W limit = rounded<T>(static_cast<W>(a.limit));
    W y[V] = {}, x[V] = {};
    load<T, V>(static_cast<const T*>(a.g) + s.offset, sum);
    if (a.y) load<T, V>(static_cast<const T*>(a.y) + s.offset, y);
    if (a.channel_product) load<T, V>(static_cast<const T*>(a.x) + s.offset, x);
    W gx[V];
#pragma unroll
    for (int k = 0; k < V; ++k) {
      if (a.y) sum[k] *= derivative<T>(y[k], static_cast<W>(a.slope), static_cast<W>(a.gain), limit);
      product[k] = sum[k] * x[k];
      gx[k] = sum[k];
      if (a.scale) gx[k] *= static_cast<const W*>(a.scale)[s.n * a.c + (LAST ? s.inner + k : s.middle)];
    }
    store<T, V>(gx, static_cast<T*>(a.gx) + s.offset);
  }
};

// Derivative of the first derivative, for cotangents u of gx, a, d of the sums per channel and q per pixel:
//   of g: m · (scale · u + a + d · x + q), of x: z · d, of scale: Σ_p z · u.
struct EpilogueDoubleArguments {
  Place place;
  int64_t n, c, h, w;
  const void* u;        // T, or null for 0
  const void* sum_u;    // Wide [n, c] or null
  const void* product_u;  // Wide [n, c] or null
  const void* pixel_u;  // Wide [n, h, w] or null
  const void* g;
  const void* x;  // null where product_u is
  const void* y;  // null where nothing is activated
  const void* scale;  // Wide [n, c] or null
  void* of_g;
  void* of_x;              // T, or null
  void* channel_sum;       // null; here for the tile
  void* channel_product;   // Wide [n, tiles, c], of scale; or null
  void* pixel_sum;         // null
  double slope, gain, limit;
};

template <class T, int V, bool LAST>
struct EpilogueDouble {
  using Number = T;
  static constexpr int kPack = V;
  static constexpr bool kLast = LAST;
  EpilogueDoubleArguments a;

  HD void operator()(const Spot& s, Wide<T> (&sum)[V], Wide<T> (&product)[V]) const {
    using W = Wide<T>;
    const W limit = rounded<T>(static_cast<W>(a.limit));
    W g[V], y[V] = {}, x[V] = {}, u[V] = {}, of_x[V];
    load<T, V>(static_cast<const T*>(a.g) + s.offset, g);
    if (a.y) load<T, V>(static_cast<const T*>(a.y) + s.offset, y);
    if (a.u) load<T, V>(static_cast<const T*>(a.u) + s.offset, u);
    if (a.product_u) load<T, V>(static_cast<const T*>(a.x) + s.offset, x);
#pragma unroll
    for (int k = 0; k < V; ++k) {
      const int64_t channel = s.n * a.c + (LAST ? s.inner + k : s.middle);
      const int64_t pixel = s.n * a.h * a.w + (LAST ? s.middle : s.inner + k);
      const W slope = static_cast<W>(a.slope), gain = static_cast<W>(a.gain);
      const W m = a.y ? derivative<T>(y[k], slope, gain, limit) : W(1);
      const W d = a.product_u ? static_cast<const W*>(a.product_u)[channel] : W(0);
      W t = d * x[k];
      t += a.scale ? static_cast<const W*>(a.scale)[channel] * u[k] : u[k];
      if (a.sum_u) t += static_cast<const W*>(a.sum_u)[channel];
      if (a.pixel_u) t += static_cast<const W*>(a.pixel_u)[pixel];
      sum[k] = 0;
      product[k] = g[k] * m * u[k];
      of_x[k] = g[k] * m * d;
      g[k] = m * t;
    }
    store<T, V>(g, static_cast<T*>(a.of_g) + s.offset);
    if (a.of_x) store<T, V>(of_x, static_cast<T*>(a.of_x) + s.offset);
  }
};

}  // namespace cuda_ops
