"""MapNet+: half of the drives have no poses to learn from, but odometry and satellite places."""

_base_ = ["./mapnet_efficientnet_town.py"]

model = dict(loss=dict(use_odometry=True, use_gnss=True))
train_dataloader = dict(dataset=dict(unlabelled_ann_file=_base_.index + "/unlabelled.parquet"))
