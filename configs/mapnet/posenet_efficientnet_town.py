"""The same network on single frames, absolute poses only: PoseNet with learned weights.

48 frames a step, as MapNet's 16 tuples of three.
"""

_base_ = ["./mapnet_efficientnet_town.py"]

train_pipeline = [dict(type="ChooseFrames", steps=1)] + _base_.images + _base_.augment + _base_.pack

model = dict(loss=dict(relative=None))
train_dataloader = dict(batch_size=48, dataset=dict(pipeline=train_pipeline))
