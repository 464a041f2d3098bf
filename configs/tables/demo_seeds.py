"""The spread of what ``make demo`` trains."""

_base_ = ["./_base_/town.py"]

title = "What `make demo` trains, from three seeds."
seeds = [0, 1, 2]
rows = [dict(name="demo", config=_base_.fused, options={})]
