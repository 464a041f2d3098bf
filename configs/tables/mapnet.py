"""MapNet's steps."""

_base_ = ["./_base_/town_localisation.py"]

title = (
    "Localisation of a front camera on held-out drives over the training streets of the synthetic town: median errors "
    "of each frame by itself, and after a pose graph over 15 frames with simulated odometry (1 % scale, 2 cm and 1 mrad "
    "a root metre). The rows below the first go on from its weights for 300 steps of 48 frames each; from scratch, tuples "
    "show a third as many places a step."
)
seeds = [0]
columns = {
    "pose/translation_m": "m",
    "pose/rotation_deg": "deg",
    "pose/fused_translation_m": "+ pose graph, m",
    "pose/fused_rotation_deg": "deg",
    "train/minutes": "minutes",
}
more = {
    "train_cfg.max_iters": 300,
    "train_cfg.val_interval": 300,
    "optim_wrapper.optimizer.lr": 1e-3,
    "param_scheduler.eta_max": 1e-3,
}
first = "absolute only"
rows = [
    dict(name=first, config=_base_.posenet, options={}),
    dict(name="absolute only, further", config=_base_.posenet, options=more, after=first),
    dict(name="+ relative", config=_base_.mapnet, options=more, after=first),
    dict(name="+ odometry and satellites on unlabelled drives", config=_base_.mapnet_plus, options=more, after=first),
    dict(name="from scratch: + relative", config=_base_.mapnet, options={}),
    dict(name="from scratch: + odometry and satellites on unlabelled drives", config=_base_.mapnet_plus, options={}),
]
