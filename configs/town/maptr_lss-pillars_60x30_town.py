"""Cameras and LiDAR on the synthetic town, 60 m x 30 m: what ``make demo`` trains."""

_base_ = [
    "../_base_/grids/60x30.py",
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

# Twelve minutes or so on two cores: a high rate, and an average over the last fifty iterations.
train_cfg = dict(max_iters=680, val_interval=680)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = dict(eta_max=2e-3)
custom_hooks = [
    dict(type="FiniteLossHook"),
    dict(type="EMAHook", ema_type="ExponentialMovingAverage", momentum=0.02, update_buffers=True),
]
