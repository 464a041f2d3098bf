// Just enough of CUDA to run bev_pool_cuda.cu on a CPU, for tests: blocks one after the other, and the 32 lanes of a
// warp as fibres that meet at every shuffle. It finds wrong indices, tails, alignments and shuffles; it knows nothing of
// speed, of memory ordering between warps (the kernels share nothing), or of what the hardware rounds differently.
#pragma once

#include <ucontext.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#define __CUDACC__ 1
#define __host__
#define __device__
#define __global__
#define __forceinline__ inline

using cudaStream_t = void*;
enum cudaError_t : int { cudaSuccess = 0, cudaErrorInvalidValue = 1 };
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t) { return "an error of the emulation"; }

struct Index {
  int64_t x;
};
inline Index blockIdx, threadIdx;

// Half types: stored in 16 bits, rounded to nearest even, as the real ones.
struct __half {
  _Float16 bits;
  __half() = default;
  explicit __half(float value) : bits(static_cast<_Float16>(value)) {}
  explicit operator float() const { return static_cast<float>(bits); }
};
struct __nv_bfloat16 {
  uint16_t bits;
  __nv_bfloat16() = default;
  explicit __nv_bfloat16(float value) {
    uint32_t word;
    std::memcpy(&word, &value, 4);
    bits = static_cast<uint16_t>((word + 0x7fff + ((word >> 16) & 1)) >> 16);
  }
  explicit operator float() const {
    const uint32_t word = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &word, 4);
    return value;
  }
};

namespace emulation {

constexpr int kLanes = 32;

struct Warp {
  ucontext_t scheduler, lanes[kLanes];
  std::vector<char> stacks[kLanes];
  bool done[kLanes];
  double slots[2][kLanes];
  int round[kLanes];
  int64_t first_thread;
  int current;
  std::function<void()> body;
};
inline Warp warp;

inline void lane_main() {
  warp.body();
  warp.done[warp.current] = true;
}

// Run the threads [first, first + 32) of a block: each until its next shuffle, in turn.
inline void run_warp(int64_t first) {
  warp.first_thread = first;
  for (int lane = 0; lane < kLanes; ++lane) {
    warp.done[lane] = false;
    warp.round[lane] = 0;
    warp.stacks[lane].resize(1 << 16);
    getcontext(&warp.lanes[lane]);
    warp.lanes[lane].uc_stack.ss_sp = warp.stacks[lane].data();
    warp.lanes[lane].uc_stack.ss_size = warp.stacks[lane].size();
    warp.lanes[lane].uc_link = &warp.scheduler;
    makecontext(&warp.lanes[lane], lane_main, 0);
  }
  for (bool running = true; running;) {
    running = false;
    for (int lane = 0; lane < kLanes; ++lane) {
      if (warp.done[lane]) continue;
      warp.current = lane;
      threadIdx.x = first + lane;
      swapcontext(&warp.scheduler, &warp.lanes[lane]);
      running |= !warp.done[lane];
    }
  }
}

}  // namespace emulation

template <typename T>
T __shfl_down_sync(unsigned, T value, int offset) {
  emulation::Warp& warp = emulation::warp;
  const int lane = warp.current, parity = warp.round[lane]++ % 2;
  warp.slots[parity][lane] = static_cast<double>(value);
  swapcontext(&warp.lanes[lane], &warp.scheduler);  // the others write theirs
  const int from = lane + offset < emulation::kLanes ? lane + offset : lane;
  return static_cast<T>(warp.slots[parity][from]);
}

// What `kernel<<<blocks, threads, 0, stream>>>(arguments)` is rewritten to.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, int64_t threads, Arguments... arguments) {
  emulation::warp.body = [=] { kernel(arguments...); };
  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
    for (int64_t first = 0; first < threads; first += emulation::kLanes) emulation::run_warp(first);
}
