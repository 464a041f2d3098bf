"""Cameras and LiDAR on the synthetic town, 120 m x 60 m, in cells of 1.2 m as SuperMapNet has them: what two CPU cores can train."""

_base_ = [
    "../_base_/grids/120x60.py",
    "../_base_/datasets/town.py",
    "../_base_/models/maptr_lss_pillars_small.py",
    "../_base_/schedules/adamw_onecycle.py",
    "../_base_/runtime/default.py",
]

bev_cell_m = 1.2
truth = [
    dict(
        type="VectorizeMap",
        grid=_base_.grid,
        classes=_base_.classes,
        divider_rule=_base_.divider_rule,
        num_points=_base_.num_points,
    ),
    dict(type="DrawMap", cell_m=bev_cell_m),
]
pack = [dict(type="LidarDepth", stride=8), dict(type="PackMapInputs")]

model = dict(
    grid=_base_.grid,
    cell_m=bev_cell_m,
    num_classes=len(_base_.classes),
    camera=dict(depth_range_m=(1.0, 61.0, 1.5)),  # as many bins as at 60 m x 30 m
)
train_dataloader = dict(dataset=dict(pipeline=_base_.augment + _base_.train_cameras + _base_.lidar + truth + pack))
val_dataloader = dict(dataset=dict(pipeline=_base_.test_cameras + _base_.lidar + truth + pack))
test_dataloader = val_dataloader
val_evaluator = dict(type="MapMetric", protocol="maptr")
test_evaluator = [val_evaluator, dict(type="VisibilityMetric")]
