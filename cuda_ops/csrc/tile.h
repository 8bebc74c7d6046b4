// Elementwise work with sums over pixels (per channel) and over channels (per pixel) in the same pass.
//
// A dense tensor is [n, middle, inner]: channels are the inner axis in channels_last, else the middle one. A
// block covers `across` packs of the inner axis times `down · kRows` places of the middle axis and leaves one
// partial sum per tile, so the result does not depend on the order in which blocks run; whoever calls adds the
// partial sums up. Sums are trees in shared memory, the same on a GPU and on the host.
#pragma once

#include "launch.h"

namespace cuda_ops {

constexpr int kRows = 8;

// Where an item of work is: `offset` into the dense tensor, and its coordinates.
struct Spot {
  int64_t n, middle, inner, offset;
};

struct TileGrid {
  int64_t middle, inner;              // lengths of the axes
  int64_t middle_tiles, inner_tiles;  // tiles along them
  int32_t across_log, down_log;       // threads of a block: 2^across_log times 2^down_log
};

inline TileGrid tile_grid(int64_t middle, int64_t inner, int pack) {
  TileGrid grid{middle, inner, 0, 0, 0, 0};
  while ((int64_t{1} << grid.across_log) * pack < inner && (1 << grid.across_log) < kThreads) ++grid.across_log;
  while ((1 << (grid.across_log + grid.down_log)) < kThreads) ++grid.down_log;
  grid.middle_tiles = divided_up(middle, int64_t{kRows} << grid.down_log);
  grid.inner_tiles = divided_up(inner, int64_t{pack} << grid.across_log);
  return grid;
}

template <class Work>
struct Tile {
  using W = Wide<typename Work::Number>;
  static constexpr int V = Work::kPack;
  // Sums over the middle axis ("columns") and over the inner axis ("rows"): products only per channel.
  static constexpr int kColumns = Work::kLast ? 2 : 1, kLines = Work::kLast ? 1 : 2;

  struct Shared {
    W column[kColumns][V][kThreads];
    W line[kLines][kRows][kThreads];
  };

  Work work;
  TileGrid grid;
  int phases;

  HD void run(int phase, int64_t block, int thread, Shared& shared) const {
    if (phase == 0) {
      gather(block, thread, shared);
    } else if (phase < phases - 1) {
      fold(phase, thread, shared);
    } else {
      write(block, thread, shared);
    }
  }

 private:
  HD void place(int64_t block, int64_t& n, int64_t& m, int64_t& i) const {
    const int64_t row = quotient(block, grid.inner_tiles);
    i = block - row * grid.inner_tiles;
    n = quotient(row, grid.middle_tiles);
    m = row - n * grid.middle_tiles;
  }

  HD void gather(int64_t block, int thread, Shared& shared) const {
    int64_t n, m, i;
    place(block, n, m, i);
    const int across = thread & ((1 << grid.across_log) - 1), down = thread >> grid.across_log;
    const int64_t inner = ((i << grid.across_log) + across) * V;
    W sums[V] = {}, products[V] = {};
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int64_t middle = ((m * kRows + r) << grid.down_log) + down;
      W sum[V] = {}, product[V] = {}, line_sum = 0, line_product = 0;
      if (middle < grid.middle && inner < grid.inner) {
        work({n, middle, inner, (n * grid.middle + middle) * grid.inner + inner}, sum, product);
      }
#pragma unroll
      for (int v = 0; v < V; ++v) {
        sums[v] += sum[v];
        products[v] += product[v];
        line_sum += sum[v];
        line_product += product[v];
      }
      shared.line[0][r][thread] = line_sum;
      if constexpr (kLines == 2) shared.line[1][r][thread] = line_product;
    }
#pragma unroll
    for (int v = 0; v < V; ++v) {
      shared.column[0][v][thread] = sums[v];
      if constexpr (kColumns == 2) shared.column[1][v][thread] = products[v];
    }
  }

  HD void fold(int step, int thread, Shared& shared) const {
    if (step <= grid.down_log) {
      const int half = 1 << (grid.across_log + grid.down_log - step);
      if (thread < half) {
#pragma unroll
        for (int v = 0; v < V; ++v) {
          for (int q = 0; q < kColumns; ++q) shared.column[q][v][thread] += shared.column[q][v][thread + half];
        }
      }
    }
    if (step <= grid.across_log) {
      const int half = 1 << (grid.across_log - step);
      if ((thread & ((1 << grid.across_log) - 1)) < half) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          for (int q = 0; q < kLines; ++q) shared.line[q][r][thread] += shared.line[q][r][thread + half];
        }
      }
    }
  }

  HD void write(int64_t block, int thread, const Shared& shared) const {
    int64_t n, m, i;
    place(block, n, m, i);
    W* const channel_sum = static_cast<W*>(work.a.channel_sum);
    W* const channel_product = static_cast<W*>(work.a.channel_product);
    W* const pixel_sum = static_cast<W*>(work.a.pixel_sum);
    const int across = thread & ((1 << grid.across_log) - 1), down = thread >> grid.across_log;
    const int64_t inner = ((i << grid.across_log) + across) * V;
    if (down == 0 && inner < grid.inner) {
      const int64_t to = (n * grid.middle_tiles + m) * grid.inner + inner;
      W* const sum = Work::kLast ? channel_sum : pixel_sum;
      for (int v = 0; v < V; ++v) {
        if (sum) sum[to + v] = shared.column[0][v][thread];
        if constexpr (kColumns == 2) {
          if (channel_product) channel_product[to + v] = shared.column[1][v][thread];
        }
      }
    }
    if (across == 0) {
      W* const sum = Work::kLast ? pixel_sum : channel_sum;
      for (int r = 0; r < kRows; ++r) {
        const int64_t middle = ((m * kRows + r) << grid.down_log) + down;
        if (middle >= grid.middle) continue;
        const int64_t to = (n * grid.inner_tiles + i) * grid.middle + middle;
        if (sum) sum[to] = shared.line[0][r][thread];
        if constexpr (kLines == 2) {
          if (channel_product) channel_product[to] = shared.line[1][r][thread];
        }
      }
    }
  }
};

// Runs `work` over all tiles of [n, c, h, w].
template <class Work, class Arguments>
int run_tiles(const Arguments& a) {
  const int64_t pixels = a.h * a.w;
  if (a.n == 0 || a.c == 0 || pixels == 0) return 0;
  const TileGrid grid = Work::kLast ? tile_grid(pixels, a.c, Work::kPack) : tile_grid(a.c, pixels, Work::kPack);
  const int steps = grid.across_log > grid.down_log ? grid.across_log : grid.down_log;
  return run_blocked(a.place, Tile<Work>{Work{a}, grid, steps + 2}, a.n * grid.middle_tiles * grid.inner_tiles);
}

// The same for a layout and number type that are known only now.
template <template <class, int, bool> class Work, class Arguments>
int run_tiles_by_layout(const Arguments& a) {
  return by_type(a.place, [&](auto zero) {
    using T = decltype(zero);
    constexpr int V = kFullPack<T>;
    if (a.place.channels_last) {
      return a.place.packed ? run_tiles<Work<T, V, true>>(a) : run_tiles<Work<T, 1, true>>(a);
    }
    return a.place.packed ? run_tiles<Work<T, V, false>>(a) : run_tiles<Work<T, 1, false>>(a);
  });
}

// Partial sums that run_tiles leaves: per channel, and per pixel.
inline int tile_counts(const Place& place, int64_t c, int64_t pixels, int64_t counts[2]) {
  return by_type(place, [&](auto zero) {
    const int pack = place.packed ? kFullPack<decltype(zero)> : 1;
    const TileGrid grid = place.channels_last ? tile_grid(pixels, c, pack) : tile_grid(c, pixels, pack);
    counts[0] = place.channels_last ? grid.middle_tiles : grid.inner_tiles;
    counts[1] = place.channels_last ? grid.inner_tiles : grid.middle_tiles;
    return 0;
  });
}

}  // namespace cuda_ops
