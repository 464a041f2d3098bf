"""What pre-training the vector encoder on vectors alone brings."""

_base_ = ["./_base_/priors.py"]

title = (
    "Pre-training of the Unified Vector Encoder: errors on held-out ground while it trains (metres; moved points are "
    "1.25 m off before), on the town's training streets and on real maps; and what a model with an old HD map gains "
    "from it, fine-tuned alike for 50 and 400 steps behind encoders that stay as shipped."
)
seeds = [0]
columns = {
    "_delete_": True,
    "vectors/rmse_m": "RMSE",
    "vectors/point_moved_m": "point moved",
    "vectors/point_hidden_m": "point hidden",
    "vectors/vector_moved_m": "vector moved",
    "vectors/vector_hidden_m": "vector hidden",
    "maptr/mAP": "mAP",
    "train/minutes": "minutes",
}
pretrain = "configs/priors/uve_60x30_town.py"
learned = "work_dirs/uve_60x30_town/iter_600.pth"
data = _base_.data + [
    dict(command=f"tools/train.py {pretrain} --work-dir work_dirs/uve_60x30_town", creates=learned),
]
near = "configs/town/maptr-stalehd_lss-pillars_60x30_town.py"
short = {**_base_.tuned, "train_cfg.max_iters": 50, "train_cfg.val_interval": 50}
long = _base_.tuned
start = "model.prior.parts.unified.encoder.init_cfg"
pretrained = {f"{start}.type": "Pretrained", f"{start}.checkpoint": learned, f"{start}.prefix": "encoder."}
rows = [
    dict(name="town", config=pretrain, curve=True),
    dict(name="real maps", config="configs/priors/uve_60x30_maps.py", curve=True),
    dict(name="old HD map, 50 steps", config=near, options=short),
    dict(name="old HD map, 50 steps, pre-trained", config=near, options={**short, **pretrained}),
    dict(name="old HD map, 400 steps", config=near, options=long),
    dict(name="old HD map, 400 steps, pre-trained", config=near, options={**long, **pretrained}),
]
