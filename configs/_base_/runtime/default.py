"""What every run shares: logging, checkpoints, seeds. Iteration-based."""

default_scope = "mapstack"
randomness = dict(seed=0)
launcher = "none"
load_from = None
resume = False
log_level = "INFO"

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=1),
    dist_cfg=dict(backend="nccl"),
)

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    checkpoint=dict(type="AtomicCheckpointHook", interval=500, keep_last=2),
)
custom_hooks = [
    dict(type="FiniteLossHook"),
    dict(type="EMAHook", ema_type="MomentumAnnealingEMA", momentum=0.001, gamma=10, update_buffers=True),
]

log_processor = dict(type="CompactLogProcessor", window_size=50)
visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")])
