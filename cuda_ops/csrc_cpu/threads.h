// Runs pieces of work on the threads of the OpenMP runtime that torch has loaded, whose entry is handed over by
// address, so that two runtimes never fight over the cores and no symbol is needed from anywhere.
#pragma once
#include <atomic>
#include <cstdint>

namespace {

// What the threads share: the arguments, the next piece to take, and whether memory ran out.
template <class Arguments>
struct Job {
  const Arguments* a;
  int64_t pieces;
  std::atomic<int64_t> next{0};
  std::atomic<int> failed{0};

  // The next piece, or -1 where none is left.
  int64_t take() {
    const int64_t piece = next.fetch_add(1);
    return piece < pieces ? piece : -1;
  }
};

// Of so many rows of a result, how many a thread takes at once.
inline int64_t rows_at_once(int64_t rows, int32_t threads) {
  const int64_t pieces = int64_t{threads} * 4;
  return rows / pieces > 1 ? rows / pieces : 1;
}

// Calls `entry(job)` on each thread; `parallel` is GOMP_parallel, or none: one thread.
template <class Arguments>
int run(Job<Arguments>& job, void (*entry)(void*), void* parallel, int32_t threads) {
  typedef void (*Parallel)(void (*)(void*), void*, unsigned, unsigned);
  if (parallel && threads > 1 && job.pieces > 1) {
    reinterpret_cast<Parallel>(parallel)(entry, &job, static_cast<unsigned>(threads), 0);
  } else {
    entry(&job);
  }
  return job.failed;
}

}  // namespace
