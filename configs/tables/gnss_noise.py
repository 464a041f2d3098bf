"""Priors placed by a noisy satellite pose, used as they come and corrected first."""

_base_ = ["./_base_/town.py", "./_base_/finetune.py"]

title = (
    "An old HD map as a prior (strength 1), placed by a pose with so many metres of error along each axis and as many "
    "degrees, nine tenths of it a bias that forgets in 60 s. Each model fine-tuned for 300 steps under noise of 2.5 m and "
    "2.5 degrees from the same weights, scored with each; errors are medians of the reported, the corrected and the fused "
    "pose (a graph over 30 frames with simulated odometry). Not corrected: the same weights, told to leave the map."
)
seeds = [0]
columns = {
    "maptr/mAP": "mAP",
    "correction/reported_m": "reported, m",
    "correction/reported_deg": "deg",
    "correction/corrected_m": "corrected, m",
    "correction/corrected_deg": "deg",
    "correction/corrected_m_p90": "90 %, m",
    "correction/fused_m": "fused, m",
    "correction/fused_deg": "deg",
    "train/minutes": "minutes",
}
corrects = "configs/town/maptr-gnss_lss-pillars_60x30_town.py"
plain = "configs/town/maptr-noisyprior_lss-pillars_60x30_town.py"
tuned = {**_base_.finetune, "train_cfg.max_iters": 300, "train_cfg.val_interval": 300}
receiver = "test_dataloader.dataset.pipeline.5"
alone = "trained under noise without correction"
levels = [
    (f"{sigma:g} m, {sigma:g} deg", {f"{receiver}.sigma_m": sigma, f"{receiver}.heading_deg": sigma})
    for sigma in (0.0, 0.5, 1.0, 2.0, 4.0)
]
rows = [
    dict(name=f"{name}, {how}", config=config, options=tuned, test_options={**noise, **extra})
    for how, config, extra in (
        ("corrected", corrects, {}),
        ("not corrected", corrects, {"model.correction.move": False}),
        (alone, plain, {}),
    )
    for name, noise in (levels if how != alone else [levels[i] for i in (0, 3, 4)])
]
