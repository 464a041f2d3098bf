"""Streets, an old HD map and earlier drives through the Unified Vector Encoder, on the synthetic town, 120 m x 60 m.

Tested on the drives of another town that is driven often.
"""

_base_ = ["./maptr_lss-pillars_120x60_town.py", "../_base_/models/prior_small.py"]

where = dict(grid=_base_.grid, num_points=_base_.num_points)
priors = [dict(type="LoadPriors", priors=[_base_.street_prior, _base_.stale_prior, _base_.drive_prior], **where)]
tested = [_base_.street_prior_revisited, _base_.stale_prior_test, _base_.drive_prior_revisited]
priors_test = [dict(type="LoadPriors", priors=tested, **where)]
truth, pack = _base_.truth, _base_.pack

model = dict(prior=_base_.unified_prior)
train_dataloader = dict(
    dataset=dict(pipeline=_base_.augment + _base_.train_cameras + _base_.lidar + truth + priors + pack)
)
val_dataloader = dict(
    dataset=dict(ann_file=_base_.revisited, pipeline=_base_.test_cameras + _base_.lidar + truth + priors_test + pack)
)
test_dataloader = val_dataloader
