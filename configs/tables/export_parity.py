"""ONNX Runtime against PyTorch, every config of the town, both forms of the pool, and the mAP of the shipped weights."""

_base_ = ["./_base_/town.py"]

title = (
    "Largest difference between ONNX Runtime and PyTorch over 50 frames of the town's held-out streets (and the real "
    "nuScenes keyframe), in millimetres and in score, with the pool worked out in the graph and from tables; operators "
    "that TensorRT does not take; mAP of both, where weights are shipped. Other configs are compared with random weights."
)
seeds = [0]
columns = {
    "_delete_": True,
    "mm/graph/town": "graph mm",
    "score/graph/town": "graph score",
    "mm/tables/town": "tables mm",
    "score/tables/town": "tables score",
    "mm/graph/keyframe": "keyframe mm",
    "score/graph/keyframe": "keyframe score",
    "tensorrt/graph": "not TensorRT's, graph",
    "tensorrt/tables": "tables",
    "mAP/pytorch": "mAP PyTorch",
    "mAP/onnx": "mAP ONNX",
}
rows = [
    dict(
        name="camera + lidar, trained",
        command=f"tools/check_export.py {_base_.fused} data/weights/maptr_lss-pillars_60x30_town.safetensors --score "
        "--out {out}",
    ),
    dict(name="camera", command=f"tools/check_export.py {_base_.camera} --out {{out}}"),
    dict(name="lidar", command=f"tools/check_export.py {_base_.lidar} --out {{out}}"),
]
