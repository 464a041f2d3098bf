"""ONNX Runtime against PyTorch, every config of the town, both forms of the pool, and the mAP of the shipped weights."""

_base_ = ["./priors.py"]  # for its data: configs with priors want old maps and earlier drives

title = (
    "Largest difference between ONNX Runtime and PyTorch over 50 frames of the town's held-out streets (and the real "
    "nuScenes keyframe), in millimetres and in score, with the pool worked out in the graph and from tables; operators "
    "that TensorRT does not take; mAP of both, where weights are shipped. Other configs are compared with random weights. "
    "Ties: frames in which rounding decides between two candidates, and PyTorch chooses as ONNX Runtime did when its "
    "weights change by a millionth."
)
seeds = [0]
columns = {
    "_delete_": True,
    "mm/graph/town": "graph mm",
    "score/graph/town": "graph score",
    "ties/graph/town": "ties",
    "mm/tables/town": "tables mm",
    "score/tables/town": "tables score",
    "ties/tables/town": "ties",
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
]
for config in (  # all of the town's but maptr_second_60x30_town: mmdet3d's voxel encoder does not export
    "maptr-allpriors_lss-pillars_60x30_town",
    "maptr-changes_lss-pillars_60x30_town",
    "maptr-convfusion_lss-pillars_60x30_town",
    "maptr-drives_lss-pillars_60x30_town",
    "maptr-dropfusion_lss-pillars_60x30_town",
    "maptr-gnss_lss-pillars_60x30_town",
    "maptr-misalignedfusion_lss-pillars_60x30_town",
    "maptr-noisyprior_lss-pillars_60x30_town",
    "maptr-sd_lss-pillars_60x30_town",
    "maptr-sdpolyline_lss-pillars_60x30_town",
    "maptr-sdraster_lss-pillars_60x30_town",
    "maptr-stalehd_lss-pillars_60x30_town",
    "maptr-stream_lss-pillars_60x30_town",
    "maptr-stream_lss_60x30_town",
    "maptr-synergyfusion_lss-pillars_60x30_town",
    "maptr-uncertain_lss-pillars_60x30_town",
    "maptr_bevformer-pillars_60x30_town",
    "maptr_bevformer_60x30_town",
    "maptr_efficientnet-lss-pillars_60x30_town",
    "maptr_efficientnet-lss_60x30_town",
    "maptr_gkt-pillars_60x30_town",
    "maptr_gkt_60x30_town",
    "maptr_ipm-pillars_60x30_town",
    "maptr_ipm_60x30_town",
    "maptr_lss-pillars_60x30_town",
    "maptr_lss-second_60x30_town",
    "maptr_lss_60x30_town",
    "maptr_pillars_60x30_town",
    "maptrv2-interaction_lss-pillars_60x30_town",
    "maptrv2-lanes_lss-pillars_60x30_town",
    "maptrv2_lss-pillars_60x30_town",
    "streammapnet-stream_lss-pillars_60x30_town",
    "streammapnet_lss-pillars_60x30_town",
    "supermapnet_lss-pillars_60x30_town",
    "vectormapnet_lss-pillars_60x30_finetune_town",
    "vectormapnet_lss-pillars_60x30_town",
    "maptr-allpriors_lss-pillars_120x60_town",
    "maptr-convfusion_lss-pillars_120x60_town",
    "maptr-drives_lss-pillars_120x60_town",
    "maptr-sd_lss-pillars_120x60_town",
    "maptr-sdpolyline_lss-pillars_120x60_town",
    "maptr-sdraster_lss-pillars_120x60_town",
    "maptr-stalehd_lss-pillars_120x60_town",
    "maptr-synergyfusion_lss-pillars_120x60_town",
    "maptr-synergyfusion_lss-pillars_240x60_town",
    "maptr_lss-pillars_100x50_town",
    "maptr_lss-pillars_120x60_town",
    "maptr_lss-pillars_240x60_town",
    "maptrv2-interaction_lss-pillars_100x50_town",
    "maptrv2_lss-pillars_100x50_town",
    "streammapnet_lss-pillars_100x50_town",
    "supermapnet_lss-pillars_100x50_town",
    "vectormapnet_lss-pillars_100x50_town",
):
    rows.append(dict(name=config, command=f"tools/check_export.py configs/town/{config}.py --out {{out}}"))
del config
