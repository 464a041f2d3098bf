"""An old HD map placed by a noisy satellite pose, which the model corrects, on the synthetic town, 60 m x 30 m.

The two frames of a clip share one error of the receiver.
"""

_base_ = ["./maptr-noisyprior_lss-pillars_60x30_town.py"]

# Cut wider than what is seen: the patch is still to be moved.
where = dict(grid=_base_.grid, num_points=_base_.num_points, margin_m=8.0)
priors = [_base_.receiver, dict(type="LoadPriors", priors=[_base_.stale_prior], **where)]
priors_test = [_base_.receiver_test, dict(type="LoadPriors", priors=[_base_.stale_prior_test], **where)]
truth, pack = _base_.truth, _base_.pack

model = dict(correction=dict(type="PoseCorrection", clip_length=2))
train_dataloader = dict(
    dataset=dict(pipeline=_base_.augment + _base_.train_cameras + _base_.lidar + truth + priors + pack)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.test_cameras + _base_.lidar + truth + priors_test + pack))
test_dataloader = val_dataloader
# On top of the model's own covariance; a pose may be wrong beyond it (huber). Odometry: a few centimetres a frame.
pose_graph = dict(absolute_m=0.2, absolute_rad=0.003, relative_m=0.07, relative_rad=0.004, huber=1.0, window=30)
val_evaluator = [dict(type="MapMetric", protocol="maptr"), dict(type="CorrectionMetric", pose_graph=pose_graph)]
test_evaluator = val_evaluator
