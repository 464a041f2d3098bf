"""StreamMapNet's multi-point attention, one frame at a time, on the synthetic town, 60 m x 30 m."""

_base_ = ["./maptr_lss-pillars_60x30_town.py", "../_base_/models/decoders.py"]

model = dict(decoder=dict(_delete_=True, **_base_.streammapnet_small))
