"""StreamMapNet: a recurrent BEV map and queries that travel, on the synthetic town, 60 m x 30 m."""

_base_ = ["./maptr-stream_lss-pillars_60x30_town.py", "../_base_/models/decoders.py"]

model = dict(decoder=dict(_delete_=True, **_base_.streammapnet_small, num_propagated=12))
