// BEV pooling on NVIDIA GPUs: plain C ABI, raw pointers and a stream. Forward, neighbouring threads hold the
// channels of one cell and walk its interval, several abreast where a warp has lanes to spare; backward, one warp
// owns a pixel and walks its ray. No atomics, a fixed order of summation, float sums for half types.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "bev_pool.h"
#include "bev_pool_api.h"

namespace {

using mapstack::Lanes;

constexpr int kThreads = 128;
constexpr int kWarp = 32;

template <typename T>
using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;

// For rows that take more than half a warp.
template <bool kWeighted, typename T, int N>
__global__ void
    pool_cells(const T* __restrict__ weights, const int32_t* __restrict__ weight_ids, const T* __restrict__ rows,
               const int32_t* __restrict__ row_ids, const int32_t* __restrict__ offsets, int64_t num_cells,
               int32_t channels, T* __restrict__ out) {
  const int32_t groups = channels / N;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t cell = thread / groups;
  if (cell >= num_cells) return;
  const int32_t c = static_cast<int32_t>(thread % groups) * N;
  mapstack::pool_cell<kWeighted, Sum<T>, N>(weights, weight_ids, rows + c, row_ids, offsets[cell], offsets[cell + 1],
                                            channels)
      .store(out + cell * channels + c);
}

// For shorter rows: a warp owns a cell, and walks its interval as many points abreast as it holds rows.
template <bool kWeighted, typename T, int N>
__global__ void
    pool_cells_abreast(const T* __restrict__ weights, const int32_t* __restrict__ weight_ids,
                       const T* __restrict__ rows, const int32_t* __restrict__ row_ids,
                       const int32_t* __restrict__ offsets, int64_t num_cells, int32_t channels,
                       T* __restrict__ out) {
  const int64_t cell = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  if (cell >= num_cells) return;  // the whole warp at once: a warp owns one cell
  const int32_t groups = channels / N, abreast = kWarp / groups;
  const int32_t lane = threadIdx.x % kWarp, point = lane / groups, c = lane % groups * N;
  const int32_t begin = offsets[cell], end = offsets[cell + 1];
  Lanes<Sum<T>, N> sum;
  if (point < abreast && begin + point < end)
    sum = mapstack::pool_cell<kWeighted, Sum<T>, N>(weights, weight_ids, rows + c, row_ids, begin + point, end,
                                                    channels, abreast);
  if (end - begin > 1) {
    // lanes past the last row read what they must not use, and store nothing
    for (int32_t other = 1; other < abreast; ++other) {
      MAPSTACK_UNROLL
      for (int k = 0; k < N; ++k) {
        const Sum<T> term = __shfl_down_sync(0xffffffffu, sum.part[k], other * groups);
        if (point == 0) sum.part[k] += term;
      }
    }
  }
  if (point == 0) sum.store(out + cell * channels + c);
}

// A frustum's shape, and where its pixels lie in depth.
struct Frustum {
  int32_t depth_bins, height, width;

  // The first depth bin of a feature row; rows are numbered column by column.
  __device__ int64_t first_point(int64_t feature_row) const {
    const int64_t row = feature_row % height, col = feature_row / height % width;
    const int64_t view = feature_row / (static_cast<int64_t>(height) * width);
    return (view * depth_bins * height + row) * width + col;
  }
};

template <typename T, int N>
__global__ void
    pool_gradients(const T* __restrict__ grad_out, const T* __restrict__ depth, const T* __restrict__ rows,
                   const int32_t* __restrict__ cell_ids, Frustum frustum, int64_t num_rows, int32_t channels,
                   int32_t num_cells, T* __restrict__ depth_grad, T* __restrict__ rows_grad) {
  using A = Sum<T>;
  const int64_t feature_row = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  if (feature_row >= num_rows) return;  // the whole warp at once: a warp owns one row
  const int32_t lane = threadIdx.x % kWarp;
  const int64_t bin_stride = static_cast<int64_t>(frustum.height) * frustum.width;
  const int64_t first = frustum.first_point(feature_row);
  for (int32_t base = 0; base < channels; base += kWarp * N) {
    const int32_t c = base + lane * N;
    const bool active = c < channels;
    Lanes<A, N> feature, row_grad;
    if (active) feature.load(rows + feature_row * channels + c);
    for (int32_t d = 0; d < frustum.depth_bins; ++d) {
      const int64_t point = first + d * bin_stride;
      const int32_t cell = cell_ids[point];
      A dot = 0;
      if (active && cell < num_cells) {
        const T* grad_row = grad_out + static_cast<int64_t>(cell) * channels + c;
        dot = mapstack::gradient_of_point(grad_row, feature, static_cast<A>(depth[point]), row_grad);
      }
      for (int offset = kWarp / 2; offset > 0; offset /= 2) dot += __shfl_down_sync(0xffffffffu, dot, offset);
      // beyond 32 * N channels the warp passes again and adds to what it wrote itself
      if (lane == 0) depth_grad[point] = static_cast<T>(base == 0 ? dot : static_cast<A>(depth_grad[point]) + dot);
    }
    if (active) row_grad.store(rows_grad + feature_row * channels + c);
  }
}

template <typename T>
__global__ void
    gather_rows(const T* __restrict__ grad_out, const int32_t* __restrict__ cell_ids, int64_t size, int32_t num_cells,
                int32_t channels, T* __restrict__ out) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (thread >= size) return;
  const int32_t cell = cell_ids[thread / channels];
  out[thread] = cell < num_cells ? grad_out[static_cast<int64_t>(cell) * channels + thread % channels] : T(0.0f);
}

int64_t blocks(int64_t threads) { return (threads + kThreads - 1) / kThreads; }

// Call f with a zero of the type that `dtype` names, and report what the launch said.
template <typename F>
int for_dtype(int dtype, const F& f) {
  switch (dtype) {
    case MAPSTACK_FLOAT32: f(0.0f); break;
    case MAPSTACK_FLOAT64: f(0.0); break;
    case MAPSTACK_FLOAT16: f(__half(0.0f)); break;
    case MAPSTACK_BFLOAT16: f(__nv_bfloat16(0.0f)); break;
    default: return cudaErrorInvalidValue;
  }
  return cudaGetLastError();
}

// Call f(N) with the channels a thread shall hold, at most kWidest: the fewest with which `threads` threads cover a
// row, as far as the row's length and the alignment of both arrays allow.
template <int kWidest, typename T, typename F>
void for_width(int32_t channels, int32_t threads, const T* rows, const T* grad, const F& f) {
  if constexpr (kWidest > 1) {
    const uintptr_t bytes = kWidest * sizeof(T) < 16 ? kWidest * sizeof(T) : 16;
    const bool rows_aligned = reinterpret_cast<uintptr_t>(rows) % bytes == 0;
    const bool grad_aligned = reinterpret_cast<uintptr_t>(grad) % bytes == 0;
    if (channels <= kWidest / 2 * threads || channels % kWidest != 0 || !rows_aligned || !grad_aligned)
      return for_width<kWidest / 2>(channels, threads, rows, grad, f);
  }
  f(std::integral_constant<int, kWidest>());
}

template <bool kWeighted, typename T>
void launch_pool(const void* weights, const int32_t* weight_ids, const void* rows, const int32_t* row_ids,
                 const int32_t* offsets, int64_t num_cells, int32_t channels, void* out, cudaStream_t stream) {
  if (num_cells == 0 || channels == 0) return;
  const T *typed_weights = static_cast<const T*>(weights), *typed_rows = static_cast<const T*>(rows);
  T* typed_out = static_cast<T*>(out);
  const auto pool = [&](auto n) {
    const int32_t groups = channels / n;
    if (groups > kWarp / 2) {
      pool_cells<kWeighted, T, n><<<blocks(num_cells * groups), kThreads, 0, stream>>>(
          typed_weights, weight_ids, typed_rows, row_ids, offsets, num_cells, channels, typed_out);
    } else {
      pool_cells_abreast<kWeighted, T, n><<<blocks(num_cells * kWarp), kThreads, 0, stream>>>(
          typed_weights, weight_ids, typed_rows, row_ids, offsets, num_cells, channels, typed_out);
    }
  };
  // A quarter of a warp along a row: the widest reads wherever there are channels enough. Eight channels a thread pay
  // where that lets points go abreast; without, an H200 took 1.4 times as long with them as with four.
  constexpr int kMost = sizeof(T) <= 4 ? 4 : 2;
  if (channels <= 2 * kMost * kWarp / 2) {
    for_width<sizeof(T) <= 4 ? 8 : 2>(channels, kWarp / 4, typed_rows, typed_rows, pool);
  } else {
    for_width<kMost>(channels, kWarp / 4, typed_rows, typed_rows, pool);
  }
}

cudaStream_t stream_of(int64_t queue) { return reinterpret_cast<cudaStream_t>(static_cast<intptr_t>(queue)); }

}  // namespace

extern "C" {

int mapstack_pool(int dtype, const void* rows, const int32_t* row_ids, const int32_t* offsets, int32_t grid_rows,
                  int32_t grid_cols, int32_t channels, void* out, int64_t queue) {
  return for_dtype(dtype, [&](auto zero) {
    launch_pool<false, decltype(zero)>(nullptr, nullptr, rows, row_ids, offsets,
                                       static_cast<int64_t>(grid_rows) * grid_cols, channels, out, stream_of(queue));
  });
}

int mapstack_gather(int dtype, const void* grad_out, const int32_t* cell_ids, int32_t num_points, int32_t num_cells,
                    int32_t channels, void* out, int64_t queue) {
  return for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t size = static_cast<int64_t>(num_points) * channels;
    if (size == 0) return;
    gather_rows<T><<<blocks(size), kThreads, 0, stream_of(queue)>>>(static_cast<const T*>(grad_out), cell_ids, size,
                                                                   num_cells, channels, static_cast<T*>(out));
  });
}

int mapstack_pool_depth(int dtype, const void* depth, const int32_t* depth_ids, const void* rows,
                        const int32_t* row_ids, const int32_t* offsets, int32_t grid_rows, int32_t grid_cols,
                        int32_t channels, void* out, int64_t queue) {
  return for_dtype(dtype, [&](auto zero) {
    launch_pool<true, decltype(zero)>(depth, depth_ids, rows, row_ids, offsets,
                                      static_cast<int64_t>(grid_rows) * grid_cols, channels, out, stream_of(queue));
  });
}

int mapstack_pool_depth_gradients(int dtype, const void* grad_out, const void* depth, const void* rows,
                                  const int32_t* cell_ids, int32_t views, int32_t depth_bins, int32_t height,
                                  int32_t width, int32_t channels, int32_t num_cells, void* depth_grad,
                                  void* rows_grad, int64_t queue) {
  return for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t num_rows = static_cast<int64_t>(views) * height * width;
    if (num_rows == 0 || channels == 0) return;
    const T* typed_rows = static_cast<const T*>(rows);
    const T* typed_grad = static_cast<const T*>(grad_out);
    // eight, so that up to 256 channels need one pass
    for_width<sizeof(T) <= 4 ? 8 : 2>(channels, kWarp, typed_rows, typed_grad, [&](auto n) {
      pool_gradients<T, n><<<blocks(num_rows * kWarp), kThreads, 0, stream_of(queue)>>>(
          typed_grad, static_cast<const T*>(depth), typed_rows, cell_ids, Frustum{depth_bins, height, width}, num_rows,
          channels, num_cells, static_cast<T*>(depth_grad), static_cast<T*>(rows_grad));
    });
  });
}

const char* mapstack_error(int code) { return cudaGetErrorString(static_cast<cudaError_t>(code)); }

}  // extern "C"
