"""MapNet on EfficientNet-Lite0 with ImageNet weights, for two CPU cores; rotations as six numbers, errors of their matrices."""

_base_ = ["./camera_efficientnet.py"]

model = dict(
    type="MapNet",
    backbone={**_base_.efficientnet, "out_indices": (3,)},
    head=dict(type="PoseHead", hidden_channels=512, rotation="six_d", dropout=0.2),
    loss=dict(type="MapNetLoss", rotation_error="matrix", relative="difference"),
    pool=(2, 4),  # where in the image a thing stands tells the place; the paper's mean forgets it
    data_preprocessor=_base_.efficientnet_pixels,
)
