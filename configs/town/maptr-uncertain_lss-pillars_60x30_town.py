"""The demo's model with a Laplace scale for every coordinate, on the synthetic town, 60 m x 30 m."""

_base_ = ["./maptr_lss-pillars_60x30_town.py"]

model = dict(decoder=dict(uncertainty=True))
