"""Does ONNX Runtime compute what PyTorch computes?"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from mapstack.errors import ExportError

from .exporter import output_names
from .runtime import MapRuntime

__all__ = ["POINT_TOLERANCE_M", "SCORE_TOLERANCE", "STATE_TOLERANCE", "Parity", "check_parity", "measure_parity"]

POINT_TOLERANCE_M = 1e-3
SCORE_TOLERANCE = 1e-4
STATE_TOLERANCE = 1e-3  # features have no unit; they are about one
# A choice between two candidates that score the same but for rounding may fall either way: then PyTorch's own choice
# falls either way, too, when its weights change by rounding.
ROUNDING = 1e-6
TIE_TRIES = 16


@dataclass(frozen=True)
class Parity:
    """The largest difference over all frames and queries.

    Args:
        num_frames: compared.
        point_error_m: of a coordinate, metres.
        score_error: of a score.
        state_error: of a number that goes to the next frame.
        num_ties: frames where the two chose different candidates, and PyTorch chooses as ONNX Runtime did when its
            weights change by a millionth; the errors are those against that choice.
    """

    num_frames: int
    point_error_m: float
    score_error: float
    state_error: float = 0.0
    num_ties: int = 0

    @property
    def holds(self) -> bool:
        """Whether all stay within the tolerances (not-a-number does not)."""
        within = self.point_error_m <= POINT_TOLERANCE_M and self.score_error <= SCORE_TOLERANCE
        return within and self.state_error <= STATE_TOLERANCE


def _frame_errors(
    scores: NDArray, points: NDArray, other_scores: NDArray, other_points: NDArray
) -> tuple[float, float]:
    """Largest difference of points and of scores between two answers of Q queries, whatever their order.

    Queries chosen by a top-k may change places where two candidates score the same to the last bit, so queries are
    paired first.
    """
    point_gaps = np.abs(points[:, None] - other_points[None]).max(axis=(2, 3))  # (Q, Q)
    score_gaps = np.abs(scores[:, None] - other_scores[None]).max(axis=2)
    cost = point_gaps / POINT_TOLERANCE_M + score_gaps / SCORE_TOLERANCE
    if not np.isfinite(cost).all():
        return float("nan"), float("nan")
    rows, cols = linear_sum_assignment(cost)
    return float(point_gaps[rows, cols].max(initial=0)), float(score_gaps[rows, cols].max(initial=0))


def measure_parity(model: nn.Module, path: Path, batches: Iterable[Mapping[str, Tensor]]) -> Parity:
    """Run both on every batch and keep the largest differences.

    Args:
        model: the :class:`mapstack.export.exporter.Exportable` module, in eval mode.
        path: its ONNX file.
        batches: what its ``export_inputs`` returned, of any batch size and number of points.
    """
    runtime = MapRuntime(path)
    errors, state_errors, num_ties = [], [0.0], 0
    for tensors in batches:
        expected = _answer_of_pytorch(model, tensors)
        answer = runtime.run({name: tensor.cpu().numpy() for name, tensor in tensors.items()})
        found = _errors_by_frame(expected, answer)
        if (found > (POINT_TOLERANCE_M, SCORE_TOLERANCE)).any():
            tried = np.stack([_errors_by_frame(other, answer) for other in _rounded_answers(model, tensors)])
            best = tried[tried[..., 0].argmin(0), np.arange(len(found))]
            tied = (best <= (POINT_TOLERANCE_M, SCORE_TOLERANCE)).all(1) & (best < found).any(1)
            found[tied] = best[tied]
            num_ties += int(tied.sum())
        errors.append(found)
        state = [name for name in expected if name.startswith("next_")]
        state_errors += [float(np.abs(expected[name] - answer[name]).max(initial=0)) for name in state]
    joined = np.concatenate([np.zeros((0, 2)), *errors])
    point_error_m, score_error = np.max([(0.0, 0.0), *joined], axis=0)
    return Parity(len(joined), float(point_error_m), float(score_error), float(np.max(state_errors)), num_ties)


@torch.no_grad()
def _answer_of_pytorch(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, NDArray]:
    outputs = [tensor.cpu().double().numpy() for tensor in model.forward_export(**tensors)]
    return dict(zip(output_names(model), outputs, strict=True))


def _errors_by_frame(expected: Mapping[str, NDArray], answer: Mapping[str, NDArray]) -> NDArray:
    """(B, 2): largest difference of points in metres, and of scores."""
    sides = (side[name] for side in (expected, answer) for name in ("scores", "polylines"))
    return np.array([_frame_errors(*frame) for frame in zip(*sides, strict=True)])


def _rounded_answers(model: nn.Module, tensors: Mapping[str, Tensor]) -> Iterator[dict[str, NDArray]]:
    """PyTorch's answers when its weights change by rounding."""
    generator, changed = torch.Generator().manual_seed(0), copy.deepcopy(model)
    for _ in range(TIE_TRIES):
        with torch.no_grad():
            for ours, theirs in zip(changed.parameters(), model.parameters(), strict=True):
                noise = torch.randn(theirs.shape, generator=generator).to(theirs.device)
                ours.copy_(theirs * (1 + ROUNDING * noise))
        yield _answer_of_pytorch(changed, tensors)


def check_parity(model: nn.Module, path: Path, batches: Iterable[Mapping[str, Tensor]]) -> Parity:
    """As :func:`measure_parity`.

    Raises:
        ExportError: the two disagree by more than the tolerances, or no frame was compared.
    """
    parity = measure_parity(model, path, batches)
    if parity.num_frames == 0:
        raise ExportError(f"{path}: no frame was compared; give at least one batch")
    if not parity.holds:
        raise ExportError(
            f"{path}: {type(model).__name__} in ONNX Runtime differs from PyTorch by {parity.point_error_m:.3g} m and "
            f"{parity.score_error:.3g} in score over {parity.num_frames} frames, and by {parity.state_error:.3g} in "
            f"what goes to the next; {POINT_TOLERANCE_M:g} m, {SCORE_TOLERANCE:g} and {STATE_TOLERANCE:g} are allowed"
        )
    return parity
