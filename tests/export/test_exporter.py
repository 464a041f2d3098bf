from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from mapstack.errors import ExportError
from mapstack.export.exporter import OPSET, export_onnx
from mapstack.export.parity import check_parity, measure_parity
from mapstack.export.trials import settle

from .conftest import METADATA, stand_in_inputs
from .models import BROKEN_PARTS, Broken, StandIn


@pytest.mark.parametrize(("batch", "num_points"), [(1, 1), (1, 300), (2, 50), (3, 7), (2, 0)])
def test_onnx_runtime_agrees_at_any_batch_and_number_of_points(
    stand_in: StandIn, onnx_path: Path, batch: int, num_points: int
) -> None:
    parity = check_parity(stand_in, onnx_path, [stand_in_inputs(batch, num_points, seed=batch + num_points)])
    assert parity.num_frames == batch and parity.point_error_m < 1e-4 and parity.score_error < 1e-5


def test_the_file_is_one_named_dynamic_graph(onnx_path: Path) -> None:
    model = onnx.load(onnx_path)
    shapes = {
        node.name: [axis.dim_param or axis.dim_value for axis in node.type.tensor_type.shape.dim]
        for node in (*model.graph.input, *model.graph.output)
    }
    assert shapes["points"] == ["num_points", 5] and shapes["pose"] == ["batch", 2, 3]
    assert shapes["scores"] == ["batch", 5, 3] and shapes["polylines"] == ["batch", 5, 4, 2]
    assert {item.domain: item.version for item in model.opset_import}[""] >= OPSET >= 18
    assert [file.name for file in onnx_path.parent.iterdir()] == [onnx_path.name]  # no weights beside it, no leftovers


@pytest.mark.parametrize("kind", BROKEN_PARTS)
def test_what_cannot_be_exported_is_named_and_nothing_is_written(kind: str, tmp_path: Path) -> None:
    model = Broken(kind).eval()
    with pytest.raises(ExportError, match=rf"parts\.bad \({BROKEN_PARTS[kind].__name__}\)"):
        export_onnx(model, {"pose": torch.rand(2, 4, 4)}, tmp_path / "model.onnx", METADATA)
    assert list(tmp_path.iterdir()) == []


def test_an_example_that_would_freeze_an_axis_is_refused(stand_in: StandIn, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="'pose'"):
        export_onnx(stand_in, stand_in_inputs(1, 50), tmp_path / "model.onnx", METADATA)
    with pytest.raises(ExportError, match="training mode"):
        export_onnx(StandIn(), stand_in_inputs(2, 50), tmp_path / "model.onnx", METADATA)


def test_other_weights_are_found_out(onnx_path: Path) -> None:
    torch.manual_seed(1)
    with pytest.raises(ExportError, match=r"StandIn in ONNX Runtime differs .* 2 frames"):
        check_parity(StandIn().eval(), onnx_path, [stand_in_inputs(2, 50)])
    with pytest.raises(ExportError, match="no frame"):
        check_parity(StandIn().eval(), onnx_path, [])


class _Shuffled(nn.Module):
    """The same answer with its queries in another order, or not a number."""

    def __init__(self, model: StandIn, spoil: bool) -> None:
        super().__init__()
        self.model, self.spoil = model, spoil

    def forward_export(self, **tensors: Tensor) -> tuple[Tensor, Tensor]:
        scores, points = self.model.forward_export(**tensors)
        return scores.flip(1), torch.full_like(points, torch.nan) if self.spoil else points.flip(1)


def test_the_order_of_queries_does_not_count_but_a_nan_does(stand_in: StandIn, onnx_path: Path) -> None:
    assert measure_parity(_Shuffled(stand_in, spoil=False), onnx_path, [stand_in_inputs(2, 50)]).holds
    assert not measure_parity(_Shuffled(stand_in, spoil=True), onnx_path, [stand_in_inputs(2, 50)]).holds


class _Undecided(nn.Module):
    """Another choice in the last frame unless a sum over the weights is a little above where it was."""

    def __init__(self, model: StandIn, needed: float) -> None:
        super().__init__()
        self.model, self.needed = model, needed
        self.first = self.total()

    def total(self) -> float:
        return float(sum(value.detach().double().sum() for value in self.model.parameters()))

    def forward_export(self, **tensors: Tensor) -> tuple[Tensor, Tensor]:
        scores, points = self.model.forward_export(**tensors)
        if self.total() - self.first <= self.needed:
            points = torch.cat([points[:-1], points[-1:] + 1.0])
        return scores, points


def test_a_choice_that_rounding_decides_is_a_tie_and_one_that_it_does_not_is_an_error(
    stand_in: StandIn, onnx_path: Path
) -> None:
    before = {name: value.clone() for name, value in stand_in.state_dict().items()}
    tie = measure_parity(_Undecided(stand_in, 0.0), onnx_path, [stand_in_inputs(2, 50)])
    assert tie.holds and tie.num_ties == 1 and tie.point_error_m < 2e-4
    error = measure_parity(_Undecided(stand_in, 0.01), onnx_path, [stand_in_inputs(2, 50)])
    assert not error.holds and error.num_ties == 0 and error.point_error_m == pytest.approx(1.0, abs=1e-3)
    assert measure_parity(stand_in, onnx_path, [stand_in_inputs(2, 50)]).num_ties == 0
    assert all(value.equal(before[name]) for name, value in stand_in.state_dict().items()), "the model stays"


def test_settling_an_untrained_model_leaves_pretrained_statistics_alone() -> None:
    """Others in their place blow ImageNet's features up a thousandfold, and rounding with them."""
    pretrained, fresh = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
    pretrained.running_mean.fill_(3.0)
    pretrained.running_var.fill_(9.0)
    settle(nn.Sequential(pretrained, fresh))
    assert (pretrained.running_mean == 3).all() and (pretrained.running_var == 9).all()
    assert fresh.running_mean.all() and (fresh.running_var != 1).all()
    assert ((fresh.running_var >= 0.5) & (fresh.running_var <= 1.5)).all()
