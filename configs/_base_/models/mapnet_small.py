"""MapNet with a narrow ResNet-18, for two CPU cores; rotations as six numbers, errors of their matrices."""

model = dict(
    type="MapNet",
    backbone=dict(type="TimmBackbone", name="resnet18", out_indices=(4,), kwargs=dict(channels=(24, 48, 96, 192))),
    head=dict(type="PoseHead", hidden_channels=512, rotation="six_d", dropout=0.2),
    loss=dict(type="MapNetLoss", rotation_error="matrix", relative="difference"),
)
