// BEV pooling on the CPU: plain C ABI, raw pointers, OpenMP. One thread owns a cell on the way forward and a
// pixel on the way back and sums in a fixed order, so the bits do not depend on the number of threads.

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "bev_pool.h"
#include "bev_pool_api.h"

namespace {

using mapstack::Lanes;
using mapstack::gradient_of_point;
using mapstack::pool_cell;

// Cells are visited in squares of this side: neighbours sum the same feature rows, which then stay in cache.
constexpr int32_t kSquare = 16;

// The lanes of one register, in one fixed order.
inline float sum_lanes(float lane) { return lane; }
inline double sum_lanes(double lane) { return lane; }
inline float sum_lanes(const mapstack::Pack<float, 8>::type& lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}
inline double sum_lanes(const mapstack::Pack<double, 4>::type& lanes) {
  return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

// Call f(width, first) for tiles of channels that cover [0, channels).
template <typename F>
inline void for_tiles(int32_t channels, const F& f) {
  int32_t c = 0;
  if (channels % 80 == 0)
    for (; c < channels; c += 80) f(std::integral_constant<int, 80>(), c);
  for (; c + 64 <= channels; c += 64) f(std::integral_constant<int, 64>(), c);
  for (; c + 16 <= channels; c += 16) f(std::integral_constant<int, 16>(), c);
  for (; c + 8 <= channels; c += 8) f(std::integral_constant<int, 8>(), c);
  for (; c < channels; ++c) f(std::integral_constant<int, 1>(), c);
}

// Ask for large pages under a large output: fresh memory in pages of 4 KiB costs more than the sums written to it.
template <typename T>
void prefer_large_pages(T* data, int64_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t kPage = 1 << 21;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kPage - 1) / kPage * kPage;
  const uintptr_t end = reinterpret_cast<uintptr_t>(data + size) / kPage * kPage;
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // a hint: failure is fine
#endif
}

template <bool kWeighted, typename T>
void pool(const T* weights, const int32_t* weight_ids, const T* rows, const int32_t* row_ids,
          const int32_t* offsets, int32_t height, int32_t width, int32_t channels, T* out, int threads) {
  prefer_large_pages(out, static_cast<int64_t>(height) * width * channels);
  // batches lie one below the other: `height` counts the rows of all of them
  const int32_t across = (width + kSquare - 1) / kSquare, down = (height + kSquare - 1) / kSquare;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int32_t square = 0; square < across * down; ++square) {
    const int32_t top = square / across * kSquare, left = square % across * kSquare;
    for (int32_t row = top; row < std::min(top + kSquare, height); ++row) {
      const int64_t first = static_cast<int64_t>(row) * width;
      const int32_t right = std::min(left + kSquare, width);
      for (int32_t col = left; col < right;) {
        const int64_t cell = first + col;
        int32_t next = col;
        while (next < right && offsets[first + next + 1] == offsets[cell]) ++next;
        if (next > col) {  // a run of empty cells
          std::fill(out + cell * channels, out + (first + next) * channels, T(0));
          col = next;
          continue;
        }
        for_tiles(channels, [&](auto tile, int32_t c) {
          pool_cell<kWeighted, T, tile>(weights, weight_ids, rows + c, row_ids, offsets[cell], offsets[cell + 1],
                                        channels)
              .store(out + cell * channels + c);
        });
        ++col;
      }
    }
  }
}

// One pixel: walk its ray once per tile of channels, in the order of the depth bins.
template <typename T>
void pool_gradient_of_pixel(const T* grad_out, const T* depth, const T* feature_row, const int32_t* cell_ids,
                            int32_t depth_bins, int64_t bin_stride, int32_t channels, int32_t num_cells,
                            T* depth_grad, T* row_grad_out) {
  for (int32_t d = 0; d < depth_bins; ++d) depth_grad[d * bin_stride] = T(0);
  for_tiles(channels, [&](auto tile, int32_t c) {
    Lanes<T, tile> feature, row_grad;
    feature.load(feature_row + c);
    for (int32_t d = 0; d < depth_bins; ++d) {
      const int32_t cell = cell_ids[d * bin_stride];
      if (cell >= num_cells) continue;
      const T* grad_row = grad_out + static_cast<int64_t>(cell) * channels + c;
      depth_grad[d * bin_stride] += sum_lanes(gradient_of_point(grad_row, feature, depth[d * bin_stride], row_grad));
    }
    row_grad.store(row_grad_out + c);
  });
}

template <typename T>
void pool_gradients(const T* grad_out, const T* depth, const T* rows, const int32_t* cell_ids, int32_t views,
                    int32_t depth_bins, int32_t height, int32_t width, int32_t channels, int32_t num_cells,
                    T* depth_grad, T* rows_grad, int threads) {
  const int64_t bin_stride = static_cast<int64_t>(height) * width;
  // 16 columns share the cache lines of depth and cell_ids; within a column the rays cross the same cells
  constexpr int32_t kColumns = 16;
  const int32_t strips = (width + kColumns - 1) / kColumns;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int32_t strip = 0; strip < views * strips; ++strip) {
    const int32_t view = strip / strips, left = strip % strips * kColumns;
    for (int32_t col = left; col < std::min(left + kColumns, width); ++col) {
      for (int32_t row = 0; row < height; ++row) {
        const int64_t point = view * depth_bins * bin_stride + static_cast<int64_t>(row) * width + col;
        const int64_t pixel = ((static_cast<int64_t>(view) * width + col) * height + row) * channels;
        pool_gradient_of_pixel(grad_out, depth + point, rows + pixel, cell_ids + point, depth_bins, bin_stride,
                               channels, num_cells, depth_grad + point, rows_grad + pixel);
      }
    }
  }
}

// The largest of each cell's rows, channel by channel, and which point has it: the first among equals, -1 in an empty
// cell. A NaN wins, as it does in PyTorch.
template <typename T>
void pool_max(const T* rows, const int32_t* row_ids, const int32_t* offsets, int32_t num_cells, int32_t channels,
              T* out, int32_t* winners, int threads) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 64)
  for (int32_t cell = 0; cell < num_cells; ++cell) {
    const int32_t begin = offsets[cell], end = offsets[cell + 1];
    T* best = out + static_cast<int64_t>(cell) * channels;
    int32_t* winner = winners + static_cast<int64_t>(cell) * channels;
    const T* first = rows + (begin < end ? static_cast<int64_t>(row_ids[begin]) * channels : 0);
    for (int32_t c = 0; c < channels; ++c) best[c] = begin < end ? first[c] : T(0);
    std::fill(winner, winner + channels, begin < end ? row_ids[begin] : -1);
    for (int32_t i = begin + 1; i < end; ++i) {
      const int32_t point = row_ids[i];
      const T* row = rows + static_cast<int64_t>(point) * channels;
#pragma omp simd
      for (int32_t c = 0; c < channels; ++c) {
        const bool wins = row[c] > best[c] || row[c] != row[c];
        best[c] = wins ? row[c] : best[c];
        winner[c] = wins ? point : winner[c];
      }
    }
  }
}

// The way back: every winner receives its channel's gradient, every other point nothing. A point lies in one cell
// only, so no two cells write to the same place.
template <typename T>
void pool_max_gradient(const T* grad_out, const int32_t* winners, int32_t num_cells, int32_t num_points,
                       int32_t channels, T* rows_grad, int threads) {
  std::fill(rows_grad, rows_grad + static_cast<int64_t>(num_points) * channels, T(0));
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int32_t cell = 0; cell < num_cells; ++cell) {
    const int64_t first = static_cast<int64_t>(cell) * channels;
    if (winners[first] < 0) continue;
    for (int32_t c = 0; c < channels; ++c)
      rows_grad[static_cast<int64_t>(winners[first + c]) * channels + c] = grad_out[first + c];
  }
}

// Copy each point's row of `rows`; a point outside the grid gets zeros.
template <typename T>
void gather(const T* rows, const int32_t* ids, int32_t num_points, int32_t num_rows, int32_t channels, T* out,
            int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int32_t i = 0; i < num_points; ++i) {
    T* to = out + static_cast<int64_t>(i) * channels;
    const T* from = rows + static_cast<int64_t>(ids[i]) * channels;
    if (ids[i] < num_rows) {
      std::copy(from, from + channels, to);
    } else {
      std::fill(to, to + channels, T(0));
    }
  }
}

// Call f with a zero of the type that `dtype` names.
template <typename F>
int for_dtype(int dtype, const F& f) {
  if (dtype == MAPSTACK_FLOAT32) {
    f(0.0f);
  } else if (dtype == MAPSTACK_FLOAT64) {
    f(0.0);
  } else {
    return 1;
  }
  return 0;
}

// Turn counts into where each cell begins, and return a copy to count up from while filling.
std::vector<int32_t> begin_cells(int32_t* offsets, int32_t num_cells) {
  for (int32_t cell = 0; cell < num_cells; ++cell) offsets[cell + 1] += offsets[cell];
  return std::vector<int32_t>(offsets, offsets + num_cells);
}

}  // namespace

extern "C" {

// Counting sort of loose points: order (M) receives the points by cell, in their own order within each;
// offsets (num_cells + 1) where each cell begins. Points outside are left out, the tail of order is not written.
void mapstack_sort_points(const int32_t* cell_ids, int32_t num_points, int32_t num_cells, int32_t* order,
                          int32_t* offsets) {
  std::fill(offsets, offsets + num_cells + 1, 0);
  for (int32_t i = 0; i < num_points; ++i)
    if (cell_ids[i] < num_cells) ++offsets[cell_ids[i] + 1];
  std::vector<int32_t> next = begin_cells(offsets, num_cells);
  for (int32_t i = 0; i < num_points; ++i)
    if (cell_ids[i] < num_cells) order[next[cell_ids[i]]++] = i;
}

// The same for a frustum (views, depth_bins, height, width), feature row by feature row, so that the rows which
// one cell sums lie close together. Feature rows are numbered column by column: (view * width + col) * height + row.
void mapstack_sort_frustum(const int32_t* cell_ids, int32_t views, int32_t depth_bins, int32_t height, int32_t width,
                           int32_t num_cells, int32_t* depth_ids, int32_t* row_ids, int32_t* offsets) {
  const int64_t bin_stride = static_cast<int64_t>(height) * width;
  const int64_t num_points = views * depth_bins * bin_stride;
  std::fill(offsets, offsets + num_cells + 1, 0);
  for (int64_t i = 0; i < num_points; ++i)
    if (cell_ids[i] < num_cells) ++offsets[cell_ids[i] + 1];
  std::vector<int32_t> next = begin_cells(offsets, num_cells);
  for (int32_t view = 0; view < views; ++view) {
    for (int32_t col = 0; col < width; ++col) {
      for (int32_t row = 0; row < height; ++row) {
        const int32_t feature_row = (view * width + col) * height + row;
        int64_t point = view * depth_bins * bin_stride + static_cast<int64_t>(row) * width + col;
        for (int32_t d = 0; d < depth_bins; ++d, point += bin_stride) {
          if (cell_ids[point] >= num_cells) continue;
          const int32_t slot = next[cell_ids[point]]++;
          depth_ids[slot] = static_cast<int32_t>(point);
          row_ids[slot] = feature_row;
        }
      }
    }
  }
}

int mapstack_pool(int dtype, const void* rows, const int32_t* row_ids, const int32_t* offsets, int32_t grid_rows,
                  int32_t grid_cols, int32_t channels, void* out, int64_t queue) {
  return for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    pool<false, T>(nullptr, nullptr, static_cast<const T*>(rows), row_ids, offsets, grid_rows, grid_cols, channels,
                   static_cast<T*>(out), static_cast<int>(queue));
  });
}

int mapstack_gather(int dtype, const void* grad_out, const int32_t* cell_ids, int32_t num_points, int32_t num_cells,
                    int32_t channels, void* out, int64_t queue) {
  return for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    gather(static_cast<const T*>(grad_out), cell_ids, num_points, num_cells, channels, static_cast<T*>(out),
           static_cast<int>(queue));
  });
}

int mapstack_pool_depth(int dtype, const void* depth, const int32_t* depth_ids, const void* rows,
                        const int32_t* row_ids, const int32_t* offsets, int32_t grid_rows, int32_t grid_cols,
                        int32_t channels, void* out, int64_t queue) {
  return for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    pool<true, T>(static_cast<const T*>(depth), depth_ids, static_cast<const T*>(rows), row_ids, offsets, grid_rows,
                  grid_cols, channels, static_cast<T*>(out), static_cast<int>(queue));
  });
}

int mapstack_pool_depth_gradients(int dtype, const void* grad_out, const void* depth, const void* rows,
                                  const int32_t* cell_ids, int32_t views, int32_t depth_bins, int32_t height,
                                  int32_t width, int32_t channels, int32_t num_cells, void* depth_grad,
                                  void* rows_grad, int64_t queue) {
  return for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    pool_gradients(static_cast<const T*>(grad_out), static_cast<const T*>(depth), static_cast<const T*>(rows),
                   cell_ids, views, depth_bins, height, width, channels, num_cells, static_cast<T*>(depth_grad),
                   static_cast<T*>(rows_grad), static_cast<int>(queue));
  });
}

int mapstack_pool_max(int dtype, const void* rows, const int32_t* row_ids, const int32_t* offsets, int32_t num_cells,
                      int32_t channels, void* out, int32_t* winners, int64_t queue) {
  return for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    pool_max(static_cast<const T*>(rows), row_ids, offsets, num_cells, channels, static_cast<T*>(out), winners,
             static_cast<int>(queue));
  });
}

int mapstack_pool_max_gradient(int dtype, const void* grad_out, const int32_t* winners, int32_t num_cells,
                               int32_t num_points, int32_t channels, void* rows_grad, int64_t queue) {
  return for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    pool_max_gradient(static_cast<const T*>(grad_out), winners, num_cells, num_points, channels,
                      static_cast<T*>(rows_grad), static_cast<int>(queue));
  });
}

const char* mapstack_error(int code) { return code == 0 ? "no error" : "the CPU library takes float32 and float64"; }

}  // extern "C"
