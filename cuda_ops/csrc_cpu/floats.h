// As many numbers at a time as a register holds, and what follows every convolution of the generator, for the kernels beside this.
#pragma once
#include <cstdint>
#include <cstring>

namespace {

#if defined(__AVX512F__)
constexpr int64_t kLanes = 16;
#else
constexpr int64_t kLanes = 8;
#endif
typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
typedef int32_t Signed __attribute__((vector_size(4 * kLanes)));
typedef uint16_t Halves __attribute__((vector_size(2 * kLanes)));

struct Bfloat16 {
  uint16_t bits;
};

inline float wide(float x) { return x; }

inline float wide(Bfloat16 x) {
  const uint32_t bits = uint32_t{x.bits} << 16;
  float y;
  std::memcpy(&y, &bits, sizeof y);
  return y;
}

inline void narrow(float x, float* to) { *to = x; }

// To the nearest, ties to even; NaN stays NaN.
inline void narrow(float x, Bfloat16* to) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  to->bits = x != x ? uint16_t{0x7fc0} : uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline Floats load(const float* from) {
  Floats x;
  std::memcpy(&x, from, sizeof x);
  return x;
}

inline Floats load(const Bfloat16* from) {
#if defined(__AVX512F__)
  // One instruction; of the conversion below GCC 12 makes five.
  typedef uint16_t Anywhere __attribute__((vector_size(2 * kLanes), aligned(2), may_alias));
  Words bits;
  __asm__("vpmovzxwd %1, %0" : "=v"(bits) : "m"(*reinterpret_cast<const Anywhere*>(from)));
#else
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  Words bits = __builtin_convertvector(halves, Words);
#endif
  bits <<= 16;
  Floats x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

inline void store(Floats x, float* to) { std::memcpy(to, &x, sizeof x); }

// Compilers that old may come with an assembler that does not know the instruction.
#if defined(CUDA_OPS_AVX512_BF16) && (defined(__clang__) || __GNUC__ >= 10)

// The same rounding in one instruction; what is too small for a normal number becomes 0.
inline void store(Floats x, Bfloat16* to) {
  Halves halves;
  __asm__("vcvtneps2bf16 %1, %0" : "=v"(halves) : "v"(x));
  std::memcpy(to, &halves, sizeof halves);
}

#else

inline void store(Floats x, Bfloat16* to) {
  Words bits;
  std::memcpy(&bits, &x, sizeof bits);
  const Words is_nan = (Words)(x != x);
  const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Halves halves = __builtin_convertvector((rounded & ~is_nan) | (is_nan & 0x7fc0), Halves);
  std::memcpy(to, &halves, sizeof halves);
}

#endif

// Taking zeros away changes no number, not even the sign of a zero, and costs nothing.
inline Floats spread(float x) { return x - Floats{}; }

inline Floats chosen(Signed condition, Floats yes, Floats no) { return condition ? yes : no; }

// Demodulation, noise and bias, leaky ReLU, clamp; no limit where it is below 0.
template <class T>
inline T finished(T x, T scale, T offset, float slope, float limit);

template <>
inline float finished(float x, float scale, float offset, float slope, float limit) {
  float v = x * scale + offset;
  v = v > 0 ? v : v * slope;
  if (limit >= 0) v = v > limit ? limit : v < -limit ? -limit : v;
  return v;
}

template <>
inline Floats finished(Floats x, Floats scale, Floats offset, float slope, float limit) {
  Floats v = x * scale + offset;
  v = chosen((Signed)(v > 0.0f), v, v * slope);
  if (limit >= 0) {
    const Floats most = spread(limit);
    v = chosen((Signed)(v > most), most, chosen((Signed)(v < -most), -most, v));
  }
  return v;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))
