// The functions that Python calls: plain C, raw pointers, no torch. All return 0 or the number of an error.
#pragma once

#if defined(_WIN32)
#define CUDA_OPS_API extern "C" __declspec(dllexport)
#else
#define CUDA_OPS_API extern "C" __attribute__((visibility("default")))
#endif
