"""ONNX Runtime against eager PyTorch, frame by frame in turn on two cores."""

_base_ = ["./_base_/town.py"]

title = (
    "One frame of the town on two cores, medians of 30 in milliseconds, eager PyTorch and ONNX Runtime in turn in one run: "
    "the network alone (x: against PyTorch), and of ONNX Runtime with tables also the stages around it; start-up in a "
    "fresh process, imports included, and its peak memory."
)
seeds = [0]
columns = {
    "_delete_": True,
    "ms/pytorch/network": "PyTorch",
    "ms/graph/network": "graph",
    "x/graph": "x",
    "ms/tables/network": "tables",
    "x/tables": "x",
    "ms/tables/prepare": "prepare",
    "ms/tables/tables": "make tables",
    "ms/tables/read": "read",
    "start_s/pytorch": "PyTorch start s",
    "start_s/tables": "ONNX start s",
    "MB/pytorch": "PyTorch MB",
    "MB/tables": "ONNX MB",
}
rows = [
    dict(name="camera + lidar", command=f"tools/benchmark_runtime.py {_base_.fused} --threads 2 --out {{out}}"),
    dict(name="camera", command=f"tools/benchmark_runtime.py {_base_.camera} --threads 2 --out {{out}}"),
    dict(name="lidar", command=f"tools/benchmark_runtime.py {_base_.lidar} --threads 2 --out {{out}}"),
]
