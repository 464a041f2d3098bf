"""OpenStreetMap's streets drawn and seen by a CNN beside the BEV map, on the synthetic town, 120 m x 60 m."""

_base_ = ["./maptr_lss-pillars_120x60_town.py", "../_base_/models/prior_small.py"]

where = dict(grid=_base_.grid, num_points=_base_.num_points)
priors = [dict(type="LoadPriors", priors=[_base_.street_prior], **where)]
priors_test = [dict(type="LoadPriors", priors=[_base_.street_prior], **where)]
truth, pack = _base_.truth, _base_.pack

model = dict(prior=_base_.raster_prior)
train_dataloader = dict(
    dataset=dict(pipeline=_base_.augment + _base_.train_cameras + _base_.lidar + truth + priors + pack)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.test_cameras + _base_.lidar + truth + priors_test + pack))
test_dataloader = val_dataloader
