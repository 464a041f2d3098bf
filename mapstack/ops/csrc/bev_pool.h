// The arithmetic of a BEV pool, one cell or one frustum point at a time: shared by the CPU and the CUDA library,
// so that what the CPU tests cover is what the GPU runs. Only the loops over cells and pixels differ.
//
// T is the type stored, A the type that sums are kept in (float for half types, else T itself), N the number of
// neighbouring channels handled at once.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define MAPSTACK_FN __host__ __device__ __forceinline__
#define MAPSTACK_UNROLL _Pragma("unroll")
#define MAPSTACK_UNROLL_POINTS _Pragma("unroll 4")  // four points' reads on their way at once
#elif defined(__clang__)
#define MAPSTACK_FN inline __attribute__((always_inline))
#define MAPSTACK_UNROLL _Pragma("clang loop unroll(full)")
#define MAPSTACK_UNROLL_POINTS
#else
#define MAPSTACK_FN inline __attribute__((always_inline))
#define MAPSTACK_UNROLL _Pragma("GCC unroll 128")
#define MAPSTACK_UNROLL_POINTS
#endif

namespace mapstack {

// Points summed plainly before their sum joins the total with compensation: a cell that holds a million
// points is then as exact as one that holds 64, and a cell of fewer pays nothing.
constexpr int32_t kRun = 64;

// Channels in one register: 32 bytes on a CPU (the vector extension of g++ and clang, lowered to whatever the
// processor has), one channel on a GPU, where the neighbouring threads hold the others.
template <typename A, int N>
constexpr int register_width() {
#if defined(__CUDACC__)
  return 1;
#else
  return N % 8 == 0 ? 32 / sizeof(A) : 1;
#endif
}

template <typename A, int kWidth>
struct Pack {
  typedef A type __attribute__((vector_size(kWidth * sizeof(A)), aligned(sizeof(A)), may_alias));
};
template <typename A>
struct Pack<A, 1> {
  typedef A type;
};

// N neighbouring channels; the arrays are unrolled whole, so that they live in registers.
template <typename A, int N>
struct Lanes {
  static constexpr int kWidth = register_width<A, N>();
  static constexpr int kCount = N / kWidth;
  using Packed = typename Pack<A, kWidth>::type;
  Packed part[kCount];

  MAPSTACK_FN Lanes() {
    MAPSTACK_UNROLL
    for (int k = 0; k < kCount; ++k) part[k] = Packed{};
  }

#if defined(__CUDACC__)
  // Reads of up to 16 bytes for all N: the caller sees to it that `row` is aligned to that.
  template <typename T>
  MAPSTACK_FN void load(const T* row) {
    struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Row {
      T value[N];
    };
    const Row values = *reinterpret_cast<const Row*>(row);
    MAPSTACK_UNROLL
    for (int k = 0; k < N; ++k) part[k] = static_cast<A>(values.value[k]);
  }
#else
  MAPSTACK_FN void load(const A* row) {
    MAPSTACK_UNROLL
    for (int k = 0; k < kCount; ++k) part[k] = *reinterpret_cast<const Packed*>(row + k * kWidth);
  }
#endif

  template <typename T>
  MAPSTACK_FN void store(T* row) const {
#if defined(__CUDACC__)
    MAPSTACK_UNROLL
    for (int k = 0; k < N; ++k) row[k] = static_cast<T>(part[k]);
#else
    MAPSTACK_UNROLL
    for (int k = 0; k < kCount; ++k) *reinterpret_cast<Packed*>(row + k * kWidth) = part[k];
#endif
  }
};

// Kahan's step: total += sum, keeping in `lost` what rounding took.
template <typename A, int N>
MAPSTACK_FN void add_compensated(const Lanes<A, N>& sum, Lanes<A, N>& total, Lanes<A, N>& lost) {
  MAPSTACK_UNROLL
  for (int k = 0; k < Lanes<A, N>::kCount; ++k) {
    const auto term = sum.part[k] - lost.part[k];
    const auto next = total.part[k] + term;
    lost.part[k] = (next - total.part[k]) - term;
    total.part[k] = next;
  }
}

// Every step-th of the points [begin, end), at most kRun of them, summed in their order.
template <bool kWeighted, typename A, int N, typename T>
MAPSTACK_FN Lanes<A, N> sum_run(const T* weights, const int32_t* weight_ids, const T* rows, const int32_t* row_ids,
                                int32_t begin, int32_t end, int32_t step, int64_t stride) {
  Lanes<A, N> sum;
  MAPSTACK_UNROLL_POINTS
  for (int32_t i = begin; i < end; i += step) {
    Lanes<A, N> values;
    values.load(rows + row_ids[i] * stride);
    const A weight = kWeighted ? static_cast<A>(weights[weight_ids[i]]) : A(1);
    MAPSTACK_UNROLL
    for (int k = 0; k < Lanes<A, N>::kCount; ++k)
      sum.part[k] += kWeighted ? weight * values.part[k] : values.part[k];
  }
  return sum;
}

// One cell: the sum over its points of weight times row, for N channels.
//   weights     by weight_ids; never read when not kWeighted
//   rows        (R, stride), already moved to the first of the N channels
//   begin, end  the cell's points among the sorted weight_ids and row_ids
//   step        1, or how many share the cell: each begins one further and takes every step-th point
template <bool kWeighted, typename A, int N, typename T>
MAPSTACK_FN Lanes<A, N> pool_cell(const T* weights, const int32_t* weight_ids, const T* rows, const int32_t* row_ids,
                                  int32_t begin, int32_t end, int64_t stride, int32_t step = 1) {
  const int32_t run = kRun * step;
  int32_t stop = end - begin > run ? begin + run : end;
  Lanes<A, N> total = sum_run<kWeighted, A, N>(weights, weight_ids, rows, row_ids, begin, stop, step, stride);
  if (stop == end) return total;
  Lanes<A, N> lost;
  while (stop < end) {
    const int32_t start = stop;
    stop = end - start > run ? start + run : end;
    add_compensated(sum_run<kWeighted, A, N>(weights, weight_ids, rows, row_ids, start, stop, step, stride), total,
                    lost);
  }
  return total;
}

// One frustum point on the way back, for N channels: adds its part of the feature's gradient to `row_grad` and
// returns its part of the weight's gradient, still to be summed over the lanes of the register.
//   grad_row  the gradient of the point's cell, already moved to the first of the N channels
template <typename A, int N, typename T>
MAPSTACK_FN typename Lanes<A, N>::Packed gradient_of_point(const T* grad_row, const Lanes<A, N>& feature, A weight,
                                                           Lanes<A, N>& row_grad) {
  Lanes<A, N> grad;
  grad.load(grad_row);
  typename Lanes<A, N>::Packed dot{};
  MAPSTACK_UNROLL
  for (int k = 0; k < Lanes<A, N>::kCount; ++k) {
    dot += grad.part[k] * feature.part[k];
    row_grad.part[k] += weight * grad.part[k];
  }
  return dot;
}

}  // namespace mapstack
