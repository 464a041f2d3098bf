"""mmdet3d's and mmdet's parts build without compiled mmcv, and only a config that names them pays for it."""

import subprocess
import sys
from importlib.machinery import PathFinder

import pytest

from mapstack.errors import BackendUnavailable, ConfigError
from mapstack.openmmlab import ensure_openmmlab, install, openmmlab_types

PARTS = """
dict(type="mmdet3d.PillarFeatureNet", in_channels=5, feat_channels=[16]),
dict(type="mmdet3d.PointPillarsScatter", in_channels=16, output_shape=[8, 8]),
dict(type="mmdet3d.SECOND", in_channels=16, out_channels=[16, 32], layer_nums=[1, 1], layer_strides=[2, 2]),
dict(type="mmdet3d.SECONDFPN", in_channels=[16, 32], out_channels=[16, 16], upsample_strides=[1, 2]),
dict(type="mmdet3d.Det3DDataPreprocessor"),
dict(type="mmdet.ResNet", depth=18),
dict(type="mmdet.FPN", in_channels=[8, 16], out_channels=8, num_outs=2),
dict(type="mmdet.FocalLoss"),
"""
# What mmdet3d asks for in its metadata, and what neither it nor mmdet needs for the parts above.
UNNEEDED = ("open3d", "lyft_dataset_sdk", "nuscenes", "trimesh", "plyfile", "skimage", "sklearn", "tensorboard", "dash")

BUILD_THEM = f"""
import sys
sys.modules.update(dict.fromkeys({UNNEEDED}))  # None there makes an import fail
import torch
from mapstack.openmmlab import ensure_openmmlab
from mapstack.registry import MODELS
parts = [{PARTS}]
assert not any(name in sys.modules for name in ("mmcv", "mmdet", "mmdet3d"))
assert ensure_openmmlab(parts)
assert not any(name in sys.modules for name in ("mmcv", "mmdet", "mmdet3d")), "nothing was built yet"
built = {{part["type"]: MODELS.build(part) for part in parts}}
bev = built["mmdet3d.SECONDFPN"](built["mmdet3d.SECOND"](torch.rand(1, 16, 8, 8)))
assert bev[0].shape == (1, 32, 4, 4), bev[0].shape
assert len(built["mmdet.ResNet"](torch.rand(1, 3, 64, 64))) == 4
from mapstack.errors import BackendUnavailable
from mmcv.ops import nms
try:
    nms(torch.rand(2, 4), torch.rand(2), 0.5)
except BackendUnavailable as error:
    assert "'nms'" in str(error) and "pip" in str(error), error
else:
    raise AssertionError("an op ran without compiled code")
import mmdet3d.datasets.transforms
print("all built")
"""


def test_parts_build_and_run_without_compiled_mmcv_and_without_unneeded_packages() -> None:
    result = subprocess.run([sys.executable, "-c", BUILD_THEM], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.strip().endswith("all built")


def test_types_are_found_at_any_depth() -> None:
    config = dict(model=dict(type="Mapper", parts=[dict(type="mmdet.FPN")], x=(dict(type="mmdet3d.SECOND"),)), n=3)
    assert sorted(openmmlab_types(config)) == ["mmdet.FPN", "mmdet3d.SECOND"]


def test_config_without_openmmlab_types_asks_for_nothing() -> None:
    assert ensure_openmmlab(dict(model=dict(type="Mapper"))) is False


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"'mmdet3d\.SECOND'.*mmdet3d is not installed"):
        ensure_openmmlab(dict(type="mmdet3d.SECOND"))


def test_install_is_idempotent_and_prefers_a_real_extension() -> None:
    install()
    before = list(sys.meta_path)
    install()
    assert sys.meta_path == before
    assert [type(finder).__name__ for finder in sys.meta_path].count("_MissingOpsFinder") == 1
    place = [type(finder).__name__ == "_MissingOpsFinder" for finder in sys.meta_path].index(True)
    assert sys.meta_path.index(PathFinder) < place  # whatever is really installed is found first
    assert sys.meta_path[place].find_spec("mmcv.ops") is None


def test_an_op_that_is_called_says_what_to_install() -> None:
    install()
    finder = next(finder for finder in sys.meta_path if type(finder).__name__ == "_MissingOpsFinder")
    module = finder.create_module(finder.find_spec("mmcv._ext"))
    assert hasattr(module, "ball_query_forward")
    assert not hasattr(module, "__path__")
    with pytest.raises(BackendUnavailable, match=r"'ball_query_forward'.*install the full mmcv"):
        module.ball_query_forward()
