"""MapNet as published, on a scene of 7-Scenes: ResNet-34, log quaternions, tuples of three frames ten apart.

tools/prepare_seven_scenes.py writes the index. Weights of ImageNet: model.backbone.checkpoint.
"""

_base_ = [
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/runtime/default.py",
]

scene = "data/index/7scenes/heads"
images = [dict(type="LoadImages"), dict(type="ResizeCropImages", size=(256, 341), keep_bottom=0.5)]
train_pipeline = [dict(type="ChooseFrames", steps=3, skip=10)] + images + [dict(type="PackPoses")]
test_pipeline = [dict(type="ChooseFrames", steps=1)] + images + [dict(type="PackPoses")]
workers = dict(num_workers=8, persistent_workers=True, collate_fn=dict(type="pseudo_collate"))

model = dict(
    type="MapNet",
    backbone=dict(type="TimmBackbone", name="resnet34", out_indices=(4,)),
    head=dict(type="PoseHead", hidden_channels=2048, rotation="log_quaternion", dropout=0.5),
    loss=dict(type="MapNetLoss", rotation_error="numbers", relative="difference"),
)
train_dataloader = dict(
    batch_size=20,
    sampler=dict(type="ResumableSampler", shuffle=True),
    dataset=dict(type="PoseDataset", ann_file=scene + "/train.parquet", body_axes=False, pipeline=train_pipeline),
    **workers,
)
val_dataloader = dict(
    batch_size=32,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="PoseDataset", ann_file=scene + "/val.parquet", body_axes=False, pipeline=test_pipeline, test_mode=True
    ),
    **workers,
)
test_dataloader = val_dataloader
val_evaluator = dict(type="PoseMetric")
test_evaluator = val_evaluator

# 300 epochs of the 1,000 frames of "heads" at 1e-4 throughout; the paper's Adam adds the decay to the gradient.
train_cfg = dict(max_iters=15000, val_interval=1500)
optim_wrapper = dict(optimizer=dict(lr=1e-4, weight_decay=5e-4), clip_grad=None)
param_scheduler = dict(_delete_=True, type="ConstantLR", factor=1.0, by_epoch=False)
