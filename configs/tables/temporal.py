"""What the frames before add."""

_base_ = ["./_base_/town.py", "./_base_/finetune.py"]

title = (
    "One frame alone against a recurrent BEV map, fine-tuned alike from the same weights on as many frames, scored over "
    "the held-out drives in order. Seen and hidden: average precision by length where the LiDAR sees the ground and in the "
    "shadows of what stands on it."
)
seeds = [0]
columns = {"visibility/seen": "seen", "visibility/hidden": "hidden"}
clips = {**_base_.finetune, "train_cfg.max_iters": 134, "train_cfg.val_interval": 134}  # of 6 frames
several = [0, 1, 2]
rows = [
    dict(name="cameras, single frame", config=_base_.camera, options=_base_.finetune),
    dict(name="cameras, streaming BEV", config="configs/town/maptr-stream_lss_60x30_town.py", options=clips),
    dict(name="cameras + lidar, single frame", config=_base_.fused, options=_base_.finetune, seeds=several),
    dict(
        name="cameras + lidar, streaming BEV",
        config="configs/town/maptr-stream_lss-pillars_60x30_town.py",
        options=clips,
        seeds=several,
    ),
    dict(
        name="cameras + lidar, StreamMapNet's decoder, single frame",
        config="configs/town/streammapnet_lss-pillars_60x30_town.py",
        options=_base_.finetune,
    ),
    dict(
        name="cameras + lidar, StreamMapNet's decoder, streaming BEV",
        config="configs/town/streammapnet-stream_lss-pillars_60x30_town.py",
        options={**clips, "model.decoder.num_propagated": 0},
    ),
    dict(
        name="cameras + lidar, StreamMapNet's decoder, streaming BEV and queries",
        config="configs/town/streammapnet-stream_lss-pillars_60x30_town.py",
        options=clips,
    ),
]
