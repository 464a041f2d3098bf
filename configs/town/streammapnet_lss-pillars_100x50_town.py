"""StreamMapNet's multi-point attention, one frame at a time, on the synthetic town, 100 m x 50 m."""

_base_ = ["./maptr_lss-pillars_100x50_town.py", "../_base_/models/decoders.py"]

model = dict(decoder=dict(_delete_=True, **_base_.streammapnet_small))
