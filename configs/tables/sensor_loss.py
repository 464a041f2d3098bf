"""What is left when sensors fail."""

_base_ = ["./_base_/town.py", "./_base_/finetune.py"]

title = (
    "Sensors lost in testing. One training with sensors dropped by chance and one without, both fine-tuned alike from "
    "the same weights; each is scored as it is with different sensors gone."
)
seeds = [0]
config = "configs/town/maptr-dropfusion_lss-pillars_60x30_town.py"
dropped, kept = (
    _base_.finetune,
    {
        **_base_.finetune,
        "train_dataloader.dataset.pipeline.9.camera_prob": 0.0,
        "train_dataloader.dataset.pipeline.9.all_cameras_prob": 0.0,
        "train_dataloader.dataset.pipeline.9.lidar_prob": 0.0,
    },
)
cameras, lidar = "test_dataloader.dataset.pipeline.3.cameras", "test_dataloader.dataset.pipeline.3.lidar"
front = ["CAM_FRONT", "CAM_FRONT_LEFT", "CAM_FRONT_RIGHT"]
back = ["CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT"]
rows = [
    dict(name="none lost", config=config, options=dropped),
    dict(name="front camera lost", config=config, options=dropped, test_options={cameras: ["CAM_FRONT"]}),
    dict(name="front left camera lost", config=config, options=dropped, test_options={cameras: ["CAM_FRONT_LEFT"]}),
    dict(name="front right camera lost", config=config, options=dropped, test_options={cameras: ["CAM_FRONT_RIGHT"]}),
    dict(name="back camera lost", config=config, options=dropped, test_options={cameras: ["CAM_BACK"]}),
    dict(name="back left camera lost", config=config, options=dropped, test_options={cameras: ["CAM_BACK_LEFT"]}),
    dict(name="back right camera lost", config=config, options=dropped, test_options={cameras: ["CAM_BACK_RIGHT"]}),
    dict(name="three front cameras lost", config=config, options=dropped, test_options={cameras: front}),
    dict(name="all cameras lost", config=config, options=dropped, test_options={cameras: front + back}),
    dict(name="LiDAR lost", config=config, options=dropped, test_options={lidar: True}),
    dict(
        name="LiDAR and three back cameras lost",
        config=config,
        options=dropped,
        test_options={lidar: True, cameras: back},
    ),
    dict(name="none lost, trained without dropping", config=config, options=kept),
    dict(
        name="all cameras lost, trained without dropping",
        config=config,
        options=kept,
        test_options={cameras: front + back},
    ),
    dict(name="LiDAR lost, trained without dropping", config=config, options=kept, test_options={lidar: True}),
]
