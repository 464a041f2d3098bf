"""How camera and LiDAR are joined, near and far."""

_base_ = ["./_base_/priors.py"]

title = (
    "Fusion of cameras and LiDAR at two ranges, fine-tuned alike for 200 steps from the same weights of a trained concatenation, "
    "which an untrained fuser computes, too; at 120 x 60 m these had 400 steps there. LiDAR alone: no image in training and testing. "
    "No intensity: every LiDAR point has 0 in training and testing, so that paint is seen by cameras alone."
)
seeds = [0, 1, 2]
data = _base_.data + _base_.far_data
near, far = "60x30_town.py", "120x60_town.py"
concat = "configs/town/maptr_lss-pillars_"
conv = "configs/town/maptr-convfusion_lss-pillars_"
synergy = "configs/town/maptr-synergyfusion_lss-pillars_"
farther = {**_base_.finetune, "load_from": _base_.far_weights}
attention_alone = {"model.fusion.alignment": None}
alignment_alone = {"model.fusion.synergy": None}
# Sensors are dropped by this config's pipeline, which has the place for it.
drop = "configs/town/maptr-dropfusion_lss-pillars_60x30_town.py"
dropped, lost = "train_dataloader.dataset.pipeline.9", "test_dataloader.dataset.pipeline.3"
kept = {**_base_.finetune, **{f"{dropped}.{key}_prob": 0.0 for key in ("camera", "all_cameras", "lidar")}}
no_cameras = {**kept, f"{dropped}.all_cameras_prob": 1.0}
cameras_lost = {
    f"{lost}.cameras": [f"CAM_{side}{place}" for side in ("FRONT", "BACK") for place in ("", "_LEFT", "_RIGHT")]
}
no_intensity, intensity_lost = {f"{dropped}.intensity_prob": 1.0}, {f"{lost}.intensity": True}
published = {
    "model.fusion.type": "SynergyFusion",
    **{
        f"model.fusion.synergy.{key}": value
        for key, value in dict(embed_dims=32, num_heads=2, window=5, halo=3).items()
    },
    **{f"model.fusion.alignment.{key}": value for key, value in dict(channels=32, search=2).items()},
}
rows = [
    dict(name="60 x 30 m, concatenation", config=concat + near, options=_base_.finetune),
    dict(name="60 x 30 m, BEVFusion's convolutions", config=conv + near, options=_base_.finetune),
    dict(
        name="60 x 30 m, SuperMapNet's attention", config=synergy + near, options={**_base_.finetune, **attention_alone}
    ),
    dict(
        name="60 x 30 m, SuperMapNet's alignment", config=synergy + near, options={**_base_.finetune, **alignment_alone}
    ),
    dict(name="60 x 30 m, SuperMapNet's attention and alignment", config=synergy + near, options=_base_.finetune),
    dict(name="60 x 30 m, LiDAR alone", config=drop, options=no_cameras, test_options=cameras_lost),
    dict(
        name="60 x 30 m, no intensity, LiDAR alone",
        config=drop,
        options={**no_cameras, **no_intensity},
        test_options={**cameras_lost, **intensity_lost},
    ),
    dict(
        name="60 x 30 m, no intensity, concatenation",
        config=drop,
        options={**kept, **no_intensity},
        test_options=intensity_lost,
    ),
    dict(
        name="60 x 30 m, no intensity, SuperMapNet's attention and alignment",
        config=drop,
        options={**kept, **no_intensity, **published},
        test_options=intensity_lost,
    ),
    dict(name="120 x 60 m, concatenation", config=concat + far, options=farther),
    dict(name="120 x 60 m, SuperMapNet's attention and alignment", config=synergy + far, options=farther),
]
del near, far, concat, conv, synergy, drop, dropped, lost
