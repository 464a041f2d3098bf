"""AdamW, a short warm-up, then a cosine down to the end of training, wherever ``max_iters`` puts it."""

train_cfg = dict(type="ResumableTrainLoop", max_iters=2000, val_interval=1000)
val_cfg = dict()
test_cfg = dict()

optim_wrapper = dict(
    constructor="GroupedOptimConstructor",
    optimizer=dict(type="AdamW", lr=6e-4, weight_decay=0.01),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=35.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", eta_min_ratio=0.01, by_epoch=False, begin=100),
]
