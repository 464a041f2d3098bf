"""SuperMapNet's three levels of interaction on MapTRv2's queries, on the synthetic town, 60 m x 30 m."""

_base_ = ["./maptrv2_lss-pillars_60x30_town.py"]

model = dict(decoder=dict(interaction=dict(levels=("point", "element", "cross"))))
