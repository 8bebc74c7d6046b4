// Runs a body over a grid: on a GPU as a kernel, in the host build as plain loops over the same code.
//
// A flat body is called once per item. A blocked body works in phases: all threads of a block finish a phase
// before any begins the next, which is a barrier on a GPU and a loop within a loop on the host.
#pragma once

#include <cstdint>

#include "numbers.h"

#ifdef __CUDACC__
#define CUDA_OPS_DEVICE 1
#else
#define CUDA_OPS_DEVICE 0
#include <memory>
#endif

namespace cuda_ops {

constexpr int kThreads = 256;

// Errors of our own, beside CUDA's numbers.
constexpr int kUnknownType = 100001;
constexpr int kTooLarge = 100002;
constexpr int kUnsupported = 100003;

// Where a call runs: the first member of every argument list. Mirrored in cuda_ops/arguments.py.
struct Place {
  int32_t device;
  int32_t dtype;          // 0 float, 1 half, 2 bfloat16, 3 double (host build alone)
  int32_t channels_last;  // layout of the dense tensors: 1 [n, h, w, c], 0 [n, c, h, w]
  int32_t packed;         // 1: lengths and addresses allow 16 bytes at a time
  void* stream;
};

inline int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

#if CUDA_OPS_DEVICE

template <class Body>
__global__ void __launch_bounds__(kThreads) flat(Body body, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) body(i);
}

template <class Body>
__global__ void __launch_bounds__(kThreads) blocked(Body body) {
  __shared__ typename Body::Shared shared;
  for (int phase = 0; phase < body.phases; ++phase) {
    if (phase) __syncthreads();
    body.run(phase, blockIdx.x, threadIdx.x, shared);
  }
}

// Makes a device the current one and puts the former back.
class Guard {
 public:
  explicit Guard(int device) : device_(device) {
    status = cudaGetDevice(&before_);
    if (status == cudaSuccess && before_ != device) status = cudaSetDevice(device);
  }
  ~Guard() {
    if (before_ >= 0 && before_ != device_) cudaSetDevice(before_);
  }
  cudaError_t status;

 private:
  int device_, before_ = -1;
};

template <class Body>
int run_flat(const Place& place, const Body& body, int64_t count) {
  if (count == 0) return 0;
  const int64_t blocks = divided_up(count, kThreads);
  if (blocks > INT32_MAX) return kTooLarge;
  Guard guard(place.device);
  if (guard.status != cudaSuccess) return guard.status;
  flat<<<static_cast<unsigned>(blocks), kThreads, 0, static_cast<cudaStream_t>(place.stream)>>>(body, count);
  return cudaGetLastError();
}

template <class Body>
int run_blocked(const Place& place, const Body& body, int64_t blocks) {
  if (blocks == 0) return 0;
  if (blocks > INT32_MAX) return kTooLarge;
  Guard guard(place.device);
  if (guard.status != cudaSuccess) return guard.status;
  blocked<<<static_cast<unsigned>(blocks), kThreads, 0, static_cast<cudaStream_t>(place.stream)>>>(body);
  return cudaGetLastError();
}

#else

template <class Body>
int run_flat(const Place&, const Body& body, int64_t count) {
  for (int64_t i = 0; i < count; ++i) body(i);
  return 0;
}

template <class Body>
int run_blocked(const Place&, const Body& body, int64_t blocks) {
  const auto shared = std::make_unique<typename Body::Shared>();
  for (int64_t block = 0; block < blocks; ++block)
    for (int phase = 0; phase < body.phases; ++phase)
      for (int thread = 0; thread < kThreads; ++thread) body.run(phase, block, thread, *shared);
  return 0;
}

#endif

// Calls `function` with a value of the number type that a place names.
template <class Function>
int by_type(const Place& place, const Function& function) {
  switch (place.dtype) {
    case 0:
      return function(float{});
    case 1:
      return function(Half{});
    case 2:
      return function(Brain{});
#if !CUDA_OPS_DEVICE
    case 3:
      return function(double{});
#endif
    default:
      return kUnknownType;
  }
}

}  // namespace cuda_ops
