// Number types of the kernels: float, half, bfloat16, and double in the host build; packs of 16 bytes.
//
// Every kernel computes in Wide<T> (float, or double for double) and rounds once, when it stores.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#define HD __device__ __forceinline__
#else
#include <cstring>
#define HD inline
#endif

namespace cuda_ops {

#ifdef __CUDACC__

using Half = __half;
using Brain = __nv_bfloat16;

HD float widen(Half v) { return __half2float(v); }
HD float widen(Brain v) { return __bfloat162float(v); }
HD void narrow(float v, Half& to) { to = __float2half_rn(v); }
HD void narrow(float v, Brain& to) { to = __float2bfloat16_rn(v); }

#else

struct Half {
  uint16_t bits;
};
struct Brain {
  uint16_t bits;
};

inline float float_of(uint32_t bits) {
  float v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
inline uint32_t bits_of(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  return bits;
}

inline float widen(Brain v) { return float_of(static_cast<uint32_t>(v.bits) << 16); }
inline float widen(Half v) {
  const uint32_t sign = (v.bits & 0x8000u) << 16, rest = v.bits & 0x7fffu;
  if (rest >= 0x7c00u) return float_of(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  if (rest >= 0x400u) return float_of(sign | ((rest << 13) + 0x38000000u));
  const float small = static_cast<float>(rest) * (1.0f / 16777216.0f);
  return sign ? -small : small;
}

inline void narrow(float v, Brain& to) {
  const uint32_t bits = bits_of(v);
  to.bits = v != v ? 0x7fc0u : static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
inline void narrow(float v, Half& to) {
  const uint32_t sign = bits_of(v) >> 16 & 0x8000u;
  uint32_t size = bits_of(v) & 0x7fffffffu;
  if (size > 0x7f800000u) {
    size = 0x7e00u;
  } else if (size >= 0x477ff000u) {  // 65520 and more round to infinity
    size = 0x7c00u;
  } else if (size < 0x38800000u) {  // subnormal: one unit of half is one unit of floats at 0.5
    size = bits_of(float_of(size) + 0.5f) - 0x3f000000u;
  } else {
    size = (size + 0xc8000fffu + (size >> 13 & 1u)) >> 13;
  }
  to.bits = static_cast<uint16_t>(sign | size);
}

#endif

HD float widen(float v) { return v; }
HD void narrow(float v, float& to) { to = v; }
HD double widen(double v) { return v; }
HD void narrow(double v, double& to) { to = v; }

template <class T>
struct WideOf {
  using type = float;
};
template <>
struct WideOf<double> {
  using type = double;
};
template <class T>
using Wide = typename WideOf<T>::type;

// V numbers that are read and written at once.
template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
  T at[V];
};

template <class T>
constexpr int kFullPack = 16 / sizeof(T);

template <class T, int V>
HD void load(const T* from, Wide<T> (&to)[V]) {
  const Pack<T, V> pack = *reinterpret_cast<const Pack<T, V>*>(from);
#pragma unroll
  for (int v = 0; v < V; ++v) to[v] = widen(pack.at[v]);
}

template <class T, int V>
HD void store(const Wide<T> (&from)[V], T* to) {
  Pack<T, V> pack;
#pragma unroll
  for (int v = 0; v < V; ++v) narrow(from[v], pack.at[v]);
  *reinterpret_cast<Pack<T, V>*>(to) = pack;
}

// What the value will be once it is stored as T.
template <class T>
HD Wide<T> rounded(Wide<T> v) {
  T stored;
  narrow(v, stored);
  return widen(stored);
}

// A number of a small operand (noise, bias, mask), which is stored as T or as Wide<T>.
template <class T>
HD Wide<T> number(const void* from, int is_narrow, int64_t i) {
  return is_narrow ? widen(static_cast<const T*>(from)[i]) : static_cast<const Wide<T>*>(from)[i];
}

// 64-bit division is an expensive subroutine on a GPU, and hardly ever needed.
HD int64_t quotient(int64_t a, int64_t b) {
  if (((a | b) >> 32) == 0) return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
  return a / b;
}

}  // namespace cuda_ops
