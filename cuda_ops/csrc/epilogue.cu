// Launches the kernels that follow a convolution.
#include "epilogue.h"
#include "exported.h"

using namespace cuda_ops;

namespace {

template <class T, int V>
int forward(const EpilogueArguments& a) {
  const int64_t count = a.n * a.c * a.h * a.w / V;
  if (a.place.channels_last) return run_flat(a.place, EpilogueForward<T, V, true>{a}, count);
  return run_flat(a.place, EpilogueForward<T, V, false>{a}, count);
}

}  // namespace

CUDA_OPS_API int cuda_ops_epilogue(const EpilogueArguments* a) {
  return by_type(a->place, [&](auto zero) {
    using T = decltype(zero);
    return a->place.packed ? forward<T, kFullPack<T>>(*a) : forward<T, 1>(*a);
  });
}

CUDA_OPS_API int cuda_ops_epilogue_backward(const EpilogueBackwardArguments* a) {
  return run_tiles_by_layout<EpilogueBackward>(*a);
}

CUDA_OPS_API int cuda_ops_epilogue_double(const EpilogueDoubleArguments* a) {
  return run_tiles_by_layout<EpilogueDouble>(*a);
}

CUDA_OPS_API int cuda_ops_tiles(const Place* place, int64_t c, int64_t pixels, int64_t* counts) {
  return tile_counts(*place, c, pixels, counts);
}
