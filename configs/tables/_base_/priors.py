"""Rows that compare priors: sensors' encoders stay as they were trained, decoder and prior part learn 400 steps of 4 frames."""

_base_ = ["./town.py", "./finetune.py"]

steps = {"train_cfg.max_iters": 400, "train_cfg.val_interval": 400}
far_run = "work_dirs/base_lss-pillars_120x60_town"
far_weights = f"{far_run}/iter_400.pth"
far_options = " ".join(f"{key}={value}" for key, value in {**_base_.finetune, **steps}.items())
far_data = [
    dict(
        command=f"tools/train.py configs/town/maptr_lss-pillars_120x60_town.py --work-dir {far_run} "
        f"--cfg-options {far_options}",
        creates=far_weights,
    )
]
frozen = {"model.frozen": ["encoders", "fusion", "bev_encoder"]}
tuned = {**_base_.finetune, **steps, **frozen}
tuned_far = {**_base_.finetune, **frozen, "load_from": far_weights}  # half the steps, for time
