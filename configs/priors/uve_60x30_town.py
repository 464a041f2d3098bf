"""Pre-train the Unified Vector Encoder on the town's training streets, 60 m x 30 m; held out are the validation streets.

No sensor is read. A model starts from the weights with ``encoder.init_cfg``, see docs/PRIOR_ENCODERS.md.
"""

_base_ = [
    "../_base_/grids/60x30.py",
    "../_base_/datasets/town.py",
    "../_base_/models/prior_small.py",
    "../_base_/schedules/adamw_onecycle.py",
    "../_base_/runtime/default.py",
]

where = dict(grid=_base_.grid, num_points=_base_.num_points)
priors = [dict(type="LoadPriors", priors=[_base_.street_prior, _base_.stale_prior], **where)]
priors_test = [dict(type="LoadPriors", priors=[_base_.street_prior, _base_.stale_prior_test], **where)]
vectors = [dict(type="SpoilVectors"), dict(type="PackVectors")]

model = dict(type="VectorPretraining", encoder=_base_.encoder)
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=_base_.augment + priors + vectors))
val_dataloader = dict(batch_size=16, dataset=dict(pipeline=priors_test + vectors))
test_dataloader = val_dataloader
val_evaluator = dict(type="ReconstructionError")
test_evaluator = val_evaluator

train_cfg = dict(max_iters=600, val_interval=100)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = dict(eta_max=2e-3)
custom_hooks = [dict(type="FiniteLossHook")]
