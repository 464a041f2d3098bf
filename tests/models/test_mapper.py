"""The whole model: losses, gradients, modes, independence of frames, and what it refuses."""

from pathlib import Path

import pytest
import torch

from mapstack.engine import load_config
from mapstack.errors import ConfigError, DataError
from mapstack.geometry import BEVGrid
from mapstack.registry import MODELS
from mapstack.structures import MapDataSample

from .conftest import mapper_config, packed_batch

MODALITIES = {"camera": (True, False), "lidar": (False, True), "fused": (True, True)}


def losses_of(model: torch.nn.Module, batch: dict) -> dict[str, torch.Tensor]:
    return model(**model.data_preprocessor(batch, True), mode="loss")


@pytest.mark.parametrize("modality", MODALITIES)
def test_gradient_reaches_every_parameter(modality: str) -> None:
    camera, lidar = MODALITIES[modality]
    model = MODELS.build(mapper_config(camera, lidar, denoising={}))
    for value in model.parameters():  # a weight that starts at zero would hide what lies before it
        if not value.abs().sum():
            torch.nn.init.normal_(value, std=0.1)
    losses = losses_of(model, packed_batch(camera=camera, lidar=lidar))
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    without = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.abs().sum()]
    assert not without, f"no gradient: {without}"


def test_a_batch_of_empty_frames_trains() -> None:
    model = MODELS.build(mapper_config(denoising={}))
    losses = losses_of(model, packed_batch((0, 0)))
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert losses["loss_point_0"] == 0
    sum(losses.values()).backward()


def test_a_frame_predicts_the_same_alone_and_in_a_batch() -> None:
    model = MODELS.build(mapper_config()).eval()
    batch = packed_batch((2, 3, 1))
    with torch.no_grad():
        together = model(**model.data_preprocessor(batch), mode="predict")
        for i, sample in enumerate(together):
            alone = {
                "inputs": {key: [value[i]] for key, value in batch["inputs"].items()},
                "data_samples": [MapDataSample(metainfo={"token": str(i)})],
            }
            single = model(**model.data_preprocessor(alone), mode="predict")[0].pred
            torch.testing.assert_close(single.scores, sample.pred.scores, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(single.points, sample.pred.points, rtol=1e-4, atol=1e-3)


def test_predictions_are_sorted_inside_the_patch_and_as_many_as_queries() -> None:
    model = MODELS.build(mapper_config()).eval()
    with torch.no_grad():
        samples = model(**model.data_preprocessor(packed_batch()), mode="predict")
    for sample in samples:
        assert len(sample.pred) == 20
        assert (sample.pred.scores.diff() <= 0).all()
        assert (sample.pred.points[..., 0].abs() <= 30).all() and (sample.pred.points[..., 1].abs() <= 15).all()


def test_an_absent_camera_changes_nothing_behind_it() -> None:
    """The rear camera is marked absent: whatever its pixels hold, the result is the same."""
    model = MODELS.build(mapper_config(lidar=False)).eval()
    batch = packed_batch((1,), lidar=False)
    batch["inputs"]["camera_valid"][0][1] = False
    with torch.no_grad():
        first = model(**model.data_preprocessor(batch), mode="tensor")
        batch["inputs"]["images"][0][1] = 255 - batch["inputs"]["images"][0][1]
        second = model(**model.data_preprocessor(batch), mode="tensor")
    torch.testing.assert_close(first["points"], second["points"], rtol=0, atol=0)


def test_a_new_calibration_is_not_served_from_the_old_ones_plan() -> None:
    encoder = MODELS.build(mapper_config(lidar=False)).eval().encoders["camera"]
    batch = packed_batch((1,), lidar=False)
    inputs = MODELS.build({"type": "MapDataPreprocessor"})(batch)["inputs"]
    moved = {**inputs, "ego_from_camera": inputs["ego_from_camera"].clone()}
    moved["ego_from_camera"][..., 0, 3] += 3.0
    with torch.no_grad():
        first, again, after = encoder(inputs)[0], encoder(inputs)[0], encoder(moved)[0]
    assert torch.equal(first, again)
    # 3 m are five cells along x; a few points on a cell's edge round to the other side.
    assert torch.isclose(after[..., 5:], first[..., :-5], atol=1e-4).float().mean() > 0.95
    assert torch.isclose(after, first, atol=1e-4).float().mean() < 0.9


def test_denoising_queries_do_not_change_the_others() -> None:
    """Noised truth must not leak: the losses of the real queries are the same with it and without."""
    config = mapper_config(denoising={})
    model = MODELS.build(config).eval()
    batch = packed_batch()
    with torch.no_grad():
        with_noise = losses_of(model, batch)
        model.decoder.denoising = None
        without = losses_of(model, batch)
    for key, value in without.items():
        torch.testing.assert_close(with_noise[key], value, rtol=1e-4, atol=1e-5)


def test_untrained_camera_splats_onto_the_ground() -> None:
    """With the ground prior the likeliest depth below the horizon is where the ray meets z = 0, to half a bin."""
    model = MODELS.build(mapper_config(lidar=False)).eval()
    encoder = model.encoders["camera"]
    inputs = model.data_preprocessor(packed_batch((1,), lidar=False))["inputs"]
    with torch.no_grad():
        _, aux = encoder(inputs)
    points = encoder._frustum(inputs, aux["depth_logits"].shape[-2:])
    likely = aux["depth_logits"].argmax(2)[:, :, None, :, :, None].expand(-1, -1, 1, -1, -1, 3)
    landed = points.gather(2, likely)[0, 0, 0]  # (h, w, 3)
    rows = slice(6, 8)  # image rows well below the horizon: ground 2 to 8 m away
    assert landed[rows, :, 2].abs().max() < 0.7
    assert points[0, 0, :, rows, :, 2].abs().max() > 1.0


def test_a_model_without_sensors_or_without_fusion_is_refused() -> None:
    config = mapper_config()
    with pytest.raises(ConfigError, match="neither"):
        MODELS.build({key: value for key, value in config.items() if key not in ("camera", "lidar", "fusion")})
    with pytest.raises(ConfigError, match="fusion"):
        MODELS.build({key: value for key, value in config.items() if key != "fusion"})


def test_what_is_frozen_stays_as_it_was_loaded() -> None:
    model = MODELS.build({**mapper_config(denoising={}), "frozen": ["encoders", "fusion"]})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    model.train()
    sum(losses_of(model, packed_batch()).values()).backward()
    optimizer.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not [name for name in moved if name.startswith(("encoders.", "fusion."))]
    assert any(name.startswith("decoder.") for name in moved)
    assert any("running_mean" in name for name in moved), "statistics of what is not frozen go on"
    with pytest.raises(ConfigError, match="cannot freeze 'encoder'"):
        MODELS.build({**mapper_config(), "frozen": ["encoder"]})


def test_a_missing_input_and_a_missing_map_are_named() -> None:
    model = MODELS.build(mapper_config())
    with pytest.raises(DataError, match="points"):
        losses_of(model, packed_batch(lidar=False))
    batch = packed_batch((1,))
    batch["data_samples"] = [MapDataSample(metainfo={"token": "unlabelled-frame"})]
    with pytest.raises(DataError, match="unlabelled-frame"):
        losses_of(model, batch)


def without(batch: dict, lost: str) -> dict:
    """The batch with a sensor gone: dark, empty, or not even there."""
    inputs = {key: list(value) for key, value in batch["inputs"].items()}
    if lost == "rear camera":
        inputs["camera_valid"] = [torch.tensor([True, False]) for _ in inputs["camera_valid"]]
    elif lost == "cameras":
        inputs["camera_valid"] = [torch.zeros(2, dtype=torch.bool) for _ in inputs["camera_valid"]]
    elif lost == "lidar":
        inputs["points"] = [points[:0] for points in inputs["points"]]
    elif lost == "lidar's key":
        del inputs["points"]
    else:
        inputs = {"points": inputs["points"]}
    return {"inputs": inputs, "data_samples": batch["data_samples"]}


def test_any_sensor_may_be_absent_at_inference() -> None:
    model = MODELS.build(mapper_config()).eval()
    found = {}
    with torch.no_grad():
        for lost in ("none", "rear camera", "cameras", "cameras' keys", "lidar", "lidar's key"):
            batch = packed_batch((1, 2))
            batch = batch if lost == "none" else without(batch, lost)
            found[lost] = model(**model.data_preprocessor(batch), mode="tensor")["scores"]
            model(**model.data_preprocessor(batch), mode="predict")
    for lost in ("rear camera", "cameras", "lidar"):
        assert not torch.allclose(found[lost], found["none"], atol=1e-5), f"losing {lost} changes nothing"
    torch.testing.assert_close(found["cameras"], found["cameras' keys"])
    torch.testing.assert_close(found["lidar"], found["lidar's key"])


def test_a_lost_lidar_in_one_frame_leaves_the_others_alone() -> None:
    model = MODELS.build(mapper_config()).eval()
    batch = packed_batch((1, 1))
    with torch.no_grad():
        before = model(**model.data_preprocessor(batch), mode="tensor")["scores"]
        batch["inputs"]["points"][0] = batch["inputs"]["points"][0][:0]
        after = model(**model.data_preprocessor(batch), mode="tensor")["scores"]
    torch.testing.assert_close(before[1], after[1])
    assert not torch.allclose(before[0], after[0], atol=1e-5)


@pytest.mark.parametrize("lost", ["cameras", "lidar"])
def test_a_batch_that_lost_a_sensor_trains(lost: str) -> None:
    model = MODELS.build(mapper_config())
    losses = losses_of(model, without(packed_batch((3, 2)), lost))
    sum(losses.values()).backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in model.parameters())
    assert all(value.isfinite().all() for value in model.state_dict().values() if value.is_floating_point())


RANGES = {"60x30": (50, 100), "100x50": (100, 200), "120x60": (100, 200), "240x60": (100, 400)}


@pytest.mark.parametrize("name", RANGES)
def test_the_range_is_one_line_of_a_config(name: str, tmp_path: Path) -> None:
    folder = Path(__file__).parents[2] / "configs/town"
    text = (folder / "maptr_lss-pillars_60x30_town.py").read_text().replace("grids/60x30.py", f"grids/{name}.py")
    (tmp_path / "ranged.py").write_text(text.replace("../_base_", str(folder.parent / "_base_")))
    cfg = load_config(tmp_path / "ranged.py")
    pipeline = cfg.test_dataloader.dataset.pipeline
    assert f"{round(BEVGrid(**pipeline[3].grid).size_m[0])}x" in name + "x"
    model = MODELS.build(cfg.model).eval()
    inputs = model.data_preprocessor(packed_batch((1,)))["inputs"]
    with torch.no_grad():
        features, _ = model.encode(inputs)
        scores = model(inputs)["scores"]
    assert features.shape[-2:] == RANGES[name] and scores.isfinite().all()
