"""ONNX Runtime against eager PyTorch, in turn on two cores."""

_base_ = ["./_base_/deployed.py"]

title = (
    "One frame of the town on two cores, medians of 54 in milliseconds, eager PyTorch and ONNX Runtime in turn in one run: "
    "the network alone, by ONNX Runtime's CPU kernels with the pool in the graph and from tables, and by its OpenVINO "
    "provider from tables (x: against PyTorch); the stages around it, and the whole frame, network included; start-up in a "
    "fresh process, imports and compilation included, and its peak memory. INT8 and bfloat16 of the first row: the forms of the shipped model whose "
    "mAP is below; of the others: all layers, with random weights. The last row is the real nuScenes keyframe through "
    "the config for nuScenes, 6 images of 704 x 256 and ResNet-50, medians of 9."
)
seeds = [0]
keyframe = "outputs/keyframe"
data = [
    *_base_.data,
    dict(
        command="tools/prepare_nuscenes.py --root ../shared/data/nuscenes_keyframe --version v1.0-mini --split all --partial "
        f"--out {keyframe}",
        creates=f"{keyframe}/all.parquet",
    ),
]
columns = {
    "_delete_": True,
    "ms/pytorch/network": "PyTorch",
    "ms/graph/network": "graph",
    "x/graph": "x",
    "ms/tables/network": "tables",
    "x/tables": "x",
    "ms/openvino/network": "OpenVINO",
    "x/openvino": "x",
    "ms/bf16/network": "bf16",
    "x/bf16": "x",
    "ms/int8/network": "INT8",
    "x/int8": "x",
    "ms/mixed/network": "INT8 + bf16",
    "x/mixed": "x",
    "ms/tables/prepare": "prepare",
    "ms/tables/tables": "make tables",
    "ms/tables/read": "read",
    "ms/openvino/frame": "OpenVINO, frame",
    "ms/int8/frame": "INT8, frame",
    "start_s/pytorch": "PyTorch start s",
    "start_s/tables": "CPU start s",
    "start_s/openvino": "OpenVINO start s",
    "MB/pytorch": "PyTorch MB",
    "MB/tables": "CPU MB",
    "MB/openvino": "OpenVINO MB",
}
benchmark = f"{_base_.with_openvino} tools/benchmark_runtime.py"
given = " ".join(
    f"{name}={_base_.models}/{file}"
    for name, file in (
        ("graph", "graph.onnx"),
        ("tables", "tables.onnx"),
        ("openvino", "tables.onnx@openvino"),
        ("bf16", "tables.onnx@openvino-bf16"),
        ("int8", "int8.onnx@openvino"),
        ("mixed", "int8.onnx@openvino-bf16"),
    )
)
timed = "--frames 60 --threads 2 --out {out}"
rows = [
    dict(name="camera + lidar", command=f"{benchmark} {_base_.fused} {_base_.weights} --models {given} {timed}"),
    dict(name="camera", command=f"{benchmark} {_base_.camera} {timed}"),
    dict(name="lidar", command=f"{benchmark} {_base_.lidar} {timed}"),
    dict(
        name="camera + lidar, nuScenes",
        command=f"{benchmark} configs/nuscenes/maptr_r50-lss-pillars_60x30_24e_nus.py --frames 10 --threads 2 "
        f"--out {{out}} --cfg-options test_dataloader.dataset.ann_file={keyframe}/all.parquet",
    ),
]
del benchmark, given, timed, keyframe
