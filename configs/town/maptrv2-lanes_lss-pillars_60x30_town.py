"""MapTRv2 with directed centerlines and the graph of which leads to which, on the synthetic town, 60 m x 30 m."""

_base_ = ["./maptrv2_lss-pillars_60x30_town.py"]

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

model = dict(num_classes=len(classes), decoder=dict(num_queries=60, lane_graph=dict(lane_class=3)))
train_dataloader = dict(
    dataset=dict(pipeline=_base_.augment + _base_.train_cameras + _base_.lidar + truth + _base_.pack)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.test_cameras + _base_.lidar + truth + _base_.pack))
test_dataloader = val_dataloader
val_evaluator = [dict(type="MapMetric", protocol="maptr"), dict(type="MapMetric", protocol="openlanev2_2d")]
test_evaluator = val_evaluator
