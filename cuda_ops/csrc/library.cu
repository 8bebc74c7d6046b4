// What the library says about itself, so that Python loads no other one than it means.
#include "epilogue.h"
#include "exported.h"
#include "fir.h"
#include "mask_blend.h"
#include "to_rgb.h"

using namespace cuda_ops;

#ifndef CUDA_OPS_KEY
#define CUDA_OPS_KEY "none"
#endif

// The key of the build: sources, compiler, flags.
CUDA_OPS_API const char* cuda_ops_key() { return CUDA_OPS_KEY; }

CUDA_OPS_API int cuda_ops_is_host() { return !CUDA_OPS_DEVICE; }

// Sizes of the argument lists, in the order of cuda_ops/arguments.py.
CUDA_OPS_API int cuda_ops_size(int which) {
  constexpr int sizes[] = {
      sizeof(Place),           sizeof(EpilogueArguments), sizeof(EpilogueBackwardArguments), sizeof(EpilogueDoubleArguments),
      sizeof(FirArguments),    sizeof(ToRgbArguments),    sizeof(MaskBlendArguments),        sizeof(MaskBlendBackwardArguments)};
  return which >= 0 && which < static_cast<int>(sizeof(sizes) / sizeof(sizes[0])) ? sizes[which] : -1;
}

CUDA_OPS_API const char* cuda_ops_error_text(int code) {
  switch (code) {
    case kUnknownType:
      return "no kernel for this number type";
    case kTooLarge:
      return "the tensor is too large for one launch";
    case kUnsupported:
      return "no kernel for these factors or this filter";
  }
#if CUDA_OPS_DEVICE
  return cudaGetErrorString(static_cast<cudaError_t>(code));
#else
  return "unknown error";
#endif
}
