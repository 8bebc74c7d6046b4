// Launches the FIR filter.
#include "fir.h"
#include "exported.h"

using namespace cuda_ops;

CUDA_OPS_API int cuda_ops_fir(const FirArguments* a) {
  if (a->taps_x > kTaps || a->taps_y > kTaps) return kUnsupported;
  return by_type(a->place, [&](auto zero) {
    using T = decltype(zero);
    return a->place.packed ? run_fir<T, kFullPack<T>>(*a) : run_fir<T, 1>(*a);
  });
}
