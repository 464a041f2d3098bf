"""The synthetic town in nuScenes format: tools/make_town.py makes data/town and its indexes.

A config builds its pipelines from these pieces, in this order: ``augment`` (training), cameras, LiDAR, then
VectorizeMap with the names of its grid, DrawMap, LidarDepth, PackMapInputs.
"""

cameras = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_FRONT_LEFT")
image_size = (144, 256)  # (H, W): what two CPU cores can train on

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
lidar = [dict(type="LoadLidar", num_sweeps=3, ego_radius_m=1.5)]

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="ResumableSampler", shuffle=True),
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(type="MapDataset", ann_file="data/town/index/train.parquet"),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(type="MapDataset", ann_file="data/town/index/val.parquet", test_mode=True),
)
test_dataloader = val_dataloader
