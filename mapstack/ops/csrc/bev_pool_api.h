// The C interface that both libraries have, the CPU's and CUDA's: raw pointers, no PyTorch header, so that either
// compiles in seconds and serves every PyTorch version.
//
//   dtype      of depth, rows, gradients and outputs: one of mapstack_dtype; the CPU library takes the first two
//   queue      CPU: how many threads. CUDA: the stream, a cudaStream_t
//   offsets    (grid_rows * grid_cols + 1) where each cell's points begin among the sorted ids. The batches lie one
//              below the other: grid_rows counts the rows of all of them
//   rows       (R, channels) features. A frustum's rows are numbered column by column,
//              (view * width + col) * height + row, where views counts those of all batches
//   cell_ids   in the order of depth (views, depth_bins, height, width); num_cells or more is outside
//
// Every function returns 0, or a code that mapstack_error explains. Nothing allocates; CUDA calls do not wait.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum mapstack_dtype { MAPSTACK_FLOAT32 = 0, MAPSTACK_FLOAT64 = 1, MAPSTACK_FLOAT16 = 2, MAPSTACK_BFLOAT16 = 3 };

// out (cells, channels): the sum of the rows of each cell's points.
int mapstack_pool(int dtype, const void* rows, const int32_t* row_ids, const int32_t* offsets, int32_t grid_rows,
                  int32_t grid_cols, int32_t channels, void* out, int64_t queue);

// The way back from mapstack_pool. out (points, channels): each point's cell of grad_out, zero outside.
int mapstack_gather(int dtype, const void* grad_out, const int32_t* cell_ids, int32_t num_points, int32_t num_cells,
                    int32_t channels, void* out, int64_t queue);

// out (cells, channels): the sum over each cell's points of depth times row.
int mapstack_pool_depth(int dtype, const void* depth, const int32_t* depth_ids, const void* rows,
                        const int32_t* row_ids, const int32_t* offsets, int32_t grid_rows, int32_t grid_cols,
                        int32_t channels, void* out, int64_t queue);

// The way back from mapstack_pool_depth: depth_grad like depth, rows_grad like rows.
int mapstack_pool_depth_gradients(int dtype, const void* grad_out, const void* depth, const void* rows,
                                  const int32_t* cell_ids, int32_t views, int32_t depth_bins, int32_t height,
                                  int32_t width, int32_t channels, int32_t num_cells, void* depth_grad,
                                  void* rows_grad, int64_t queue);

// What a returned code means.
const char* mapstack_error(int code);

#ifdef __cplusplus
}
#endif
