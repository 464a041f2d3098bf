"""MapTRv2 in three dimensions with directed centerlines on Argoverse 2, 60 m x 30 m. Not trained here (docs/GPU_STATUS.md)."""

_base_ = ["./maptr_r50-lss-pillars_60x30_24e_av2.py", "../_base_/models/decoders.py"]

classes = ("divider", "ped_crossing", "boundary", "centerline")
truth = [
    dict(
        type="VectorizeMap",
        grid=_base_.grid,
        classes=classes,
        divider_rule=_base_.divider_rule,
        num_points=_base_.num_points,
    ),
    dict(type="DrawMap", cell_m=_base_.bev_cell_m),
]

model = dict(
    num_classes=len(classes),
    decoder=dict(_delete_=True, **_base_.maptrv2, dims=3, lane_graph=dict(lane_class=3)),
    perspective=dict(**_base_.perspective, image_channels=256),
)
train_dataloader = dict(
    dataset=dict(pipeline=_base_.augment + _base_.train_cameras + _base_.lidar + truth + _base_.pack)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.test_cameras + _base_.lidar + truth + _base_.pack))
test_dataloader = val_dataloader
val_evaluator = [dict(type="MapMetric", protocol="maptr_3d"), dict(type="MapMetric", protocol="openlanev2")]
test_evaluator = val_evaluator
