"""The town whose 200 drives share one small district: front camera, 2 Hz, for localisation.

Made by tools/make_town.py data/town_localisation --size localisation, and tools/prepare_nuscenes.py with the lists in
data/splits/town_localisation (the index that the town brings along splits by district: not for this). A config builds its
pipelines: measurements, ChooseFrames, ``images``.
"""

index = "data/town_localisation/by_drive"
odometry = dict(type="SimulateOdometry", scale=0.01, slip_m=0.02, yaw_rad=0.001, yaw_drift_rad_s=0.0005)
gnss = dict(type="SimulateGnss", sigma_m=2.0)
images = [
    dict(type="LoadImages"),
    dict(type="ResizeCropImages", size=(96, 192)),  # (H, W): what two CPU cores can train on
]
augment = [dict(type="PhotometricJitter")]
pack = [dict(type="PackPoses")]

train_dataloader = dict(
    batch_size=16,  # tuples
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="ResumableSampler", shuffle=True),
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(type="PoseDataset", ann_file=index + "/train.parquet", camera="CAM_FRONT"),
)
val_dataloader = dict(
    batch_size=48,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(type="PoseDataset", ann_file=index + "/val.parquet", camera="CAM_FRONT", test_mode=True),
)
test_dataloader = val_dataloader
