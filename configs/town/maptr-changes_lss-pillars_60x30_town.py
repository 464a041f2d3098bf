"""Which elements of an old HD map do the sensors contradict? On the synthetic town, 60 m x 30 m.

The same model and training as with the old map as a prior; scored is what it says of the map's elements.
"""

_base_ = ["./maptr-stalehd_lss-pillars_60x30_town.py"]

val_evaluator = dict(_delete_=True, type="ChangeMetric")
test_evaluator = val_evaluator
