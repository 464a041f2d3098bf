"""Argoverse 2, official split: tools/prepare_argoverse2.py writes the indexes.

A config builds its pipelines from these pieces, in this order: ``augment`` (training), cameras, LiDAR, then
VectorizeMap with the names of its grid, DrawMap, LidarDepth, PackMapInputs.
"""

cameras = (
    "ring_front_center",
    "ring_front_right",
    "ring_side_right",
    "ring_rear_right",
    "ring_rear_left",
    "ring_side_left",
    "ring_front_left",
)
image_size = (384, 512)  # (H, W)

augment = [dict(type="AugmentBEV", flip_x_prob=0.5, flip_y_prob=0.5, rotate_deg=20.0)]
train_cameras = [
    dict(type="LoadImages", cameras=cameras),
    dict(type="ResizeCropImages", size=image_size, scale=(1.0, 1.12), shift=0.5),
    dict(type="PhotometricJitter"),
]
test_cameras = [
    dict(type="LoadImages", cameras=cameras),
    dict(type="ResizeCropImages", size=image_size),
]
lidar = [dict(type="LoadLidar", num_sweeps=3, ego_radius_m=0.0)]

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="ResumableSampler", shuffle=True),
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(type="MapDataset", ann_file="data/index/argoverse2/official/train.parquet"),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(type="MapDataset", ann_file="data/index/argoverse2/official/val.parquet", test_mode=True),
)
test_dataloader = val_dataloader
