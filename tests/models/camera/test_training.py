"""Every encoder inside the model: gradients, repeatability, and what it refuses."""

import pytest
import torch

from mapstack.errors import ConfigError
from mapstack.registry import MODELS

from ..conftest import mapper_config, packed_batch
from .rig import KINDS, SMALL_RESNET, encoder_config, make_encoder, make_inputs

PYRAMID = {"type": "FeaturePyramid"}
MERGED = {"type": "MergedPyramid"}


@pytest.mark.parametrize(
    ("kind", "neck"), [("lss", MERGED), ("ipm", MERGED), ("bevformer", PYRAMID), ("gkt", PYRAMID), ("gkt", None)]
)
def test_gradient_reaches_every_parameter(kind: str, neck: dict | None) -> None:
    config = mapper_config(lidar=False)
    levels = (2, 3) if kind == "lss" else (1, 2, 3)  # lift-splat's depth is taught at stride 8
    config["camera"] = encoder_config(kind, backbone={**SMALL_RESNET, "out_indices": levels}, neck=neck)
    del config["camera"]["grid"], config["camera"]["cell_m"]
    model = MODELS.build(config)
    for value in model.parameters():  # a weight that starts at zero would hide what lies before it
        if not value.abs().sum():
            torch.nn.init.normal_(value, std=0.1)
    losses = model(**model.data_preprocessor(packed_batch((4, 3), lidar=False), True), mode="loss")
    sum(losses.values()).backward()
    without = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.abs().sum()]
    assert not without, f"no gradient: {without}"


@pytest.mark.parametrize("kind", KINDS)
def test_training_repeats_to_the_bit(kind: str) -> None:
    def gradients() -> list[torch.Tensor]:
        torch.manual_seed(0)
        encoder = make_encoder(kind, dropout=0.1) if kind in ("bevformer", "gkt") else make_encoder(kind)
        encoder.train()(make_inputs(2))[0].square().sum().backward()
        return [value.grad for value in encoder.parameters()]

    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)
    try:
        assert all(torch.equal(a, b) for a, b in zip(gradients(), gradients(), strict=True))
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)


def test_depth_of_another_stride_is_refused() -> None:
    encoder, inputs = make_encoder("lss"), make_inputs(1)
    aux = encoder(inputs)[1]
    inputs["depth"] = torch.ones(1, 4, 4, 6)
    with pytest.raises(ConfigError, match=r"LidarDepth\(stride=8\)"):
        encoder.loss(aux, inputs)
    inputs["depth"] = torch.ones(1, 4, 8, 12)
    assert encoder.loss(aux, inputs)["loss_depth"] > 0


def test_finer_samples_come_out_in_the_asked_cells() -> None:
    encoder = make_encoder("ipm", sample_cell_m=0.25)
    with torch.no_grad():
        bev, aux = encoder(make_inputs(1))
    assert bev.shape == (1, 8, 24, 48) and encoder.sample_shape == (48, 96)
    assert encoder.loss(aux, {}) == {} and aux["image_feats"].shape[:3] == (1, 4, 8)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("lss", {"neck": PYRAMID, "backbone": {**SMALL_RESNET, "out_indices": (1, 2)}}, "reads one feature map"),
        ("ipm", {"neck": PYRAMID, "backbone": {**SMALL_RESNET, "out_indices": (1, 2)}}, "MergedPyramid"),
        ("ipm", {"sample_cell_m": 0.75}, "sample_cell_m"),
        ("bevformer", {"num_heads": 3}, "multiple of num_heads, got 8 and 3"),
        ("gkt", {"kernel_size": (2, 3)}, "kernel_size odd"),
        ("gkt", {"heights_m": (0.0, 0.5, 1.0)}, "multiple of the 3 heights"),
    ],
)
def test_what_does_not_fit_together_is_refused(kind: str, changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MODELS.build(encoder_config(kind, **changes))
