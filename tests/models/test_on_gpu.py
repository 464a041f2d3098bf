"""Every kind of model on a GPU against the same model on the CPU: same maps, same losses, and gradients everywhere.

They run where PyTorch sees a GPU, and by hand: neither development nor CI has one (docs/GPU_STATUS.md).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import Tensor, nn

from mapstack.datasets.town import TownPaths
from mapstack.registry import MODELS

ROOT = Path(__file__).parents[2]
NAMES = (
    "maptr_lss-pillars_60x30_town",
    "maptr_lss-second_60x30_town",
    "maptr_ipm-pillars_60x30_town",
    "maptr_bevformer-pillars_60x30_town",
    "maptr_gkt-pillars_60x30_town",
    "maptr_efficientnet-lss-pillars_60x30_town",
    "maptr-convfusion_lss-pillars_60x30_town",
    "maptr-synergyfusion_lss-pillars_60x30_town",
    "maptr-misalignedfusion_lss-pillars_60x30_town",
    "maptr-stalehd_lss-pillars_60x30_town",
    "maptr-sdraster_lss-pillars_60x30_town",
    "maptr-sdpolyline_lss-pillars_60x30_town",
    "maptr-gnss_lss-pillars_60x30_town",
    "maptr-uncertain_lss-pillars_60x30_town",
    "maptr-stream_lss-pillars_60x30_town",
    "maptrv2_lss-pillars_60x30_town",
    "maptrv2-lanes_lss-pillars_60x30_town",
    "maptrv2-interaction_lss-pillars_60x30_town",
    "streammapnet-stream_lss-pillars_60x30_town",
    "supermapnet_lss-pillars_60x30_town",
    "vectormapnet_lss-pillars_60x30_town",
)
EXACT = 1e-6  # two passes on the CPU that differ by less do not draw random numbers

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.fixture(autouse=True)
def full_single_precision() -> Iterator[None]:
    """TF32, cuDNN's choice for convolutions, keeps ten bits of a product: what that costs is no error of the model."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@pytest.fixture(params=NAMES)
def model_and_batch(
    request: pytest.FixtureRequest, town: TownPaths, town_index: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> tuple[nn.Module, dict]:
    """A config's model with drawn weights, on the CPU, and two frames as its training loads them."""
    monkeypatch.chdir(ROOT)
    init_default_scope("mapstack")
    config = Config.fromfile(ROOT / f"configs/town/{request.param}.py")
    loader = {
        **_in_tiny_town(config.train_dataloader, town),
        "num_workers": 0,
        "persistent_workers": False,
        "batch_size": 2,
    }
    loader.pop("prefetch_factor", None)
    loader["dataset"]["ann_file"] = str(town_index["train"])
    torch.manual_seed(0)
    model = MODELS.build({**config.model, "init_cfg": None, "frozen": ()})
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model, next(iter(Runner.build_dataloader(loader, seed=0)))


def _in_tiny_town(value: object, town: TownPaths) -> object:
    """The same settings, with data/town read from the tests' town."""
    if isinstance(value, dict):
        return {key: _in_tiny_town(item, town) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_in_tiny_town(item, town) for item in value)
    return value.replace("data/town", str(town.root)) if isinstance(value, str) else value


def _losses(model: nn.Module, batch: dict, seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Values on the CPU, and the losses themselves."""
    torch.manual_seed(seed)
    prepared = model.data_preprocessor(batch, True)
    losses = model(**prepared, mode="loss")
    return {name: torch.as_tensor(value).detach().float().cpu() for name, value in losses.items()}, losses


def test_maps_are_those_of_the_cpu(model_and_batch: tuple[nn.Module, dict]) -> None:
    model, batch = model_and_batch
    model.eval()
    made = {}
    for device in ("cpu", "cuda"):
        model.to(device)
        with torch.no_grad():
            made[device] = model(**model.data_preprocessor(batch, False), mode="tensor")
    here, there = made["cpu"]["scores"], made["cuda"]["scores"].cpu()
    assert here.shape == there.shape
    # A tie of two proposals falls either way: one query in twenty may be another.
    apart = (there.sort(1).values - here.sort(1).values).abs()
    assert (apart < 1e-3).float().mean() > 0.95, f"scores differ by {apart.max():.4f}"
    there, here = (made[name]["points"].cpu().flatten(2) for name in ("cuda", "cpu"))
    gap = torch.cdist(there, here, compute_mode="donot_use_mm_for_euclid_dist").amin(-1)
    assert (gap < 0.05).float().mean() > 0.95, f"points differ by {gap.max():.3f} m"


def test_losses_are_those_of_the_cpu_and_reach_every_parameter(model_and_batch: tuple[nn.Module, dict]) -> None:
    model, batch = model_and_batch
    model.train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    first, made = _losses(model, batch, 0)
    sum(value.sum() for name, value in made.items() if "loss" in name).backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.load_state_dict(state)
    second, _ = _losses(model, batch, 1)
    fixed = {name for name in first if (first[name] - second[name]).abs().max() <= EXACT * first[name].abs().max()}
    assert fixed, "every loss draws random numbers"

    model.load_state_dict(state)
    model.zero_grad(set_to_none=True)
    model.cuda()
    found, made = _losses(model, batch, 0)
    assert found.keys() == first.keys()
    for name in fixed:
        torch.testing.assert_close(
            found[name], first[name], rtol=1e-2, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )
    sum(value.sum() for name, value in made.items() if "loss" in name).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == (name in trained), name
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
