"""Rows that start from the shipped weights: changes of a short fine-tuning, 200 steps of 4 frames."""

finetune = {
    "load_from": "data/weights/maptr_lss-pillars_60x30_town.safetensors",
    "train_cfg.max_iters": 200,
    "train_cfg.val_interval": 200,
    "optim_wrapper.optimizer.lr": 8e-4,
    "param_scheduler.eta_max": 8e-4,
}
