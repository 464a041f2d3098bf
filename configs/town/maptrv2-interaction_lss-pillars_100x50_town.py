"""SuperMapNet's three levels of interaction on MapTRv2's queries, on the synthetic town, 100 m x 50 m."""

_base_ = ["./maptrv2_lss-pillars_100x50_town.py"]

model = dict(decoder=dict(interaction=dict(levels=("point", "element", "cross"))))
