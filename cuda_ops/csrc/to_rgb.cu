// Launches the step to RGB and the blend by a mask.
#include "exported.h"
#include "mask_blend.h"
#include "to_rgb.h"

using namespace cuda_ops;

namespace {

template <class T, int V>
int blend(const MaskBlendArguments& a) {
  const int64_t count = a.n * a.c * a.h * a.w / V;
  if (a.place.channels_last) return run_flat(a.place, MaskBlendForward<T, V, true>{a}, count);
  return run_flat(a.place, MaskBlendForward<T, V, false>{a}, count);
}

}  // namespace

CUDA_OPS_API int cuda_ops_to_rgb(const ToRgbArguments* a) {
  return by_type(a->place, [&](auto zero) {
    using T = decltype(zero);
    return a->place.packed ? run_to_rgb<T, kFullPack<T>>(*a) : run_to_rgb<T, 1>(*a);
  });
}

CUDA_OPS_API int cuda_ops_mask_blend(const MaskBlendArguments* a) {
  return by_type(a->place, [&](auto zero) {
    using T = decltype(zero);
    return a->place.packed ? blend<T, kFullPack<T>>(*a) : blend<T, 1>(*a);
  });
}

CUDA_OPS_API int cuda_ops_mask_blend_backward(const MaskBlendBackwardArguments* a) {
  return run_tiles_by_layout<MaskBlendBackward>(*a);
}
