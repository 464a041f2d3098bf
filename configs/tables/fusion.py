"""How camera and LiDAR are joined, near and far, and what each is worth."""

_base_ = ["./_base_/priors.py", "../_base_/models/fusion_synergy.py"]

title = (
    "Fusion of cameras and LiDAR at two ranges, fine-tuned alike for 200 steps from the same weights of a trained concatenation, "
    "which an untrained fuser computes, too; at 120 x 60 m these had 400 steps there. LiDAR alone: no image in training and testing. "
    "No intensity: every LiDAR point has 0 in training and testing, so that paint is seen by cameras alone."
)
seeds = [0, 1, 2]
data = _base_.data + _base_.far_data
# Sensors are lost by this config's pipeline, which has the place for it.
config = "configs/town/maptr-dropfusion_lss-pillars_{}_town.py"
dropped, lost = "train_dataloader.dataset.pipeline.9", "test_dataloader.dataset.pipeline.3"
none_dropped = {f"{dropped}.{key}_prob": 0.0 for key in ("camera", "all_cameras", "lidar")}
near, far = {**_base_.finetune, **none_dropped}, {**_base_.finetune, **none_dropped, "load_from": _base_.far_weights}
all_cameras = [f"CAM_{side}{place}" for side in ("FRONT", "BACK") for place in ("", "_LEFT", "_RIGHT")]
no_cameras, cameras_lost = {f"{dropped}.all_cameras_prob": 1.0}, {f"{lost}.cameras": all_cameras}
no_intensity, intensity_lost = {f"{dropped}.intensity_prob": 1.0}, {f"{lost}.intensity": True}
published = _base_.synergy_fusion
supermapnet = {
    "model.fusion.type": published.type,
    **{
        f"model.fusion.{part}.{key}": value
        for part in ("synergy", "alignment")
        for key, value in published[part].items()
    },
}
both = "SuperMapNet's attention and alignment"
rows = [
    dict(
        name="60 x 30 m, concatenation", config="configs/town/maptr_lss-pillars_60x30_town.py", options=_base_.finetune
    ),
    dict(
        name=f"60 x 30 m, {both}",
        config="configs/town/maptr-synergyfusion_lss-pillars_60x30_town.py",
        options=_base_.finetune,
    ),
    dict(
        name="60 x 30 m, LiDAR alone",
        config=config.format("60x30"),
        options={**near, **no_cameras},
        test_options=cameras_lost,
    ),
    dict(
        name="60 x 30 m, no intensity, LiDAR alone",
        config=config.format("60x30"),
        options={**near, **no_cameras, **no_intensity},
        test_options={**cameras_lost, **intensity_lost},
    ),
    *(
        dict(
            name=f"{size}, no intensity, {fuser}",
            config=config.format(short),
            options={**start, **no_intensity, **changes},
            test_options=intensity_lost,
        )
        for size, short, start in (("60 x 30 m", "60x30", near), ("120 x 60 m", "120x60", far))
        for fuser, changes in (("concatenation", {}), (both, supermapnet))
    ),
]
del config, dropped, lost, near, far, published
