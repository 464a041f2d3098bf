"""SuperMapNet's decoder behind the demo's encoder on the synthetic town, 60 m x 30 m; its fusion is maptr-synergyfusion's."""

_base_ = ["./maptr_lss-pillars_60x30_town.py", "../_base_/models/decoders.py"]

model = dict(decoder=dict(_delete_=True, **_base_.supermapnet_small))
