"""MapTRv2 from cameras and LiDAR on the synthetic town, 60 m x 30 m: the demo's encoder, a one-to-many branch, three auxiliary losses."""

_base_ = ["./maptr_lss-pillars_60x30_town.py", "../_base_/models/decoders.py"]

model = dict(
    decoder=dict(_delete_=True, **_base_.maptrv2_small),
    perspective=dict(**_base_.perspective, image_channels=48),
)
