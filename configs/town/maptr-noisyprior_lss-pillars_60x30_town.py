"""An old HD map placed by a noisy satellite pose, as it comes, on the synthetic town, 60 m x 30 m.

Training sees another error at every look, testing the errors of a drive: 2 m and 2 degrees.
"""

_base_ = ["./maptr-stalehd_lss-pillars_60x30_town.py"]

where = dict(grid=_base_.grid, num_points=_base_.num_points)
receiver = dict(type="DisturbPose", sigma_m=2.5, heading_deg=2.5, redraw=True)
receiver_test = dict(type="DisturbPose", sigma_m=2.0, heading_deg=2.0)
stale_prior = dict(type="HDMapPrior", strength=1.0, pasts=16)  # what is asked here is where it lies
priors = [receiver, dict(type="LoadPriors", priors=[stale_prior], **where)]
priors_test = [receiver_test, dict(type="LoadPriors", priors=[_base_.stale_prior_test], **where)]
truth, pack = _base_.truth, _base_.pack

train_dataloader = dict(
    sampler=dict(type="ClipSampler", clip_length=2),
    dataset=dict(pipeline=_base_.augment + _base_.train_cameras + _base_.lidar + truth + priors + pack),
)
val_dataloader = dict(dataset=dict(pipeline=_base_.test_cameras + _base_.lidar + truth + priors_test + pack))
test_dataloader = val_dataloader
