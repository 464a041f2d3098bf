"""Cameras and LiDAR on the synthetic town, 100 m x 50 m: differs from the 60 m x 30 m config in the line that names the grid."""

_base_ = [
    "../_base_/grids/100x50.py",
    "../_base_/datasets/town.py",
    "../_base_/models/maptr_lss_pillars_small.py",
    "../_base_/schedules/adamw_onecycle.py",
    "../_base_/runtime/default.py",
]

truth = [
    dict(
        type="VectorizeMap",
        grid=_base_.grid,
        classes=_base_.classes,
        divider_rule=_base_.divider_rule,
        num_points=_base_.num_points,
    ),
    dict(type="DrawMap", cell_m=_base_.bev_cell_m),
]
pack = [dict(type="LidarDepth", stride=8), dict(type="PackMapInputs")]

model = dict(grid=_base_.grid, cell_m=_base_.bev_cell_m, num_classes=len(_base_.classes))
train_dataloader = dict(dataset=dict(pipeline=_base_.augment + _base_.train_cameras + _base_.lidar + truth + pack))
val_dataloader = dict(dataset=dict(pipeline=_base_.test_cameras + _base_.lidar + truth + pack))
test_dataloader = val_dataloader
val_evaluator = dict(type="MapMetric", protocol="maptr")
test_evaluator = [val_evaluator, dict(type="VisibilityMetric")]
