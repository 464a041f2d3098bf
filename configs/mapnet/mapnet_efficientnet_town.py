"""MapNet on the streets of the town that is driven 200 times: absolute and relative poses of tuples of three frames."""

_base_ = [
    "../_base_/datasets/town_localisation.py",
    "../_base_/models/mapnet_efficientnet.py",
    "../_base_/schedules/adamw_onecycle.py",
    "../_base_/runtime/default.py",
]

train_pipeline = (
    [_base_.odometry, _base_.gnss, dict(type="ChooseFrames", steps=3, skip=2)]
    + _base_.images
    + _base_.augment
    + _base_.pack
)
test_pipeline = [_base_.odometry, dict(type="ChooseFrames", steps=1)] + _base_.images + _base_.pack

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    type="PoseMetric",
    pose_graph=dict(absolute_m=6.0, absolute_rad=0.15, relative_m=0.1, relative_rad=0.005, huber=1.5, window=15),
)
test_evaluator = val_evaluator

# Ten minutes or so on a core.
train_cfg = dict(max_iters=800, val_interval=800)
optim_wrapper = dict(
    optimizer=dict(lr=2e-3),
    paramwise_cfg=dict(custom_keys=dict(log_var=dict(decay_mult=0.0))),
)
param_scheduler = dict(eta_max=2e-3)
custom_hooks = [
    dict(type="PoseStatisticsHook"),
    dict(type="FiniteLossHook"),
    dict(type="EMAHook", ema_type="ExponentialMovingAverage", momentum=0.02, update_buffers=True),
]
