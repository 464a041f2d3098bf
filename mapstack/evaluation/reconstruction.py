"""How well a model restores vectors that were spoilt."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.registry import METRICS
from mapstack.structures.vector_data_sample import SPOILT

__all__ = ["ReconstructionError", "summarize_reconstruction"]


def summarize_reconstruction(restored: NDArray, given: NDArray, true: NDArray, spoilt: NDArray) -> dict[str, float]:
    """Errors of M points, metres.

    Args:
        restored: (M, 2) by the model.
        given: (M, 2) what it was shown; where a point was hidden this does not count.
        true: (M, 2).
        spoilt: (M,) index into :data:`SPOILT`.

    Returns:
        ``rmse_m`` of all spoilt points, the mean distance for each kind of :data:`SPOILT` that occurs, and for those
        that were moved also the one before.
    """
    distance = np.linalg.norm(restored - true, axis=1)
    metrics = {"rmse_m": float(np.sqrt((distance[spoilt > 0] ** 2).mean())) if (spoilt > 0).any() else float("nan")}
    for number, name in enumerate(SPOILT):
        chosen = spoilt == number
        if chosen.any():
            metrics[f"{name}_m"] = float(distance[chosen].mean())
            if name.endswith("moved"):
                metrics[f"{name}_before_m"] = float(np.linalg.norm((given - true)[chosen], axis=1).mean())
    return metrics


@METRICS.register_module()
class ReconstructionError(BaseMetric):
    """Errors of :func:`summarize_reconstruction` over all places, ``vectors/rmse_m`` and so on.

    Args:
        out_dir: where metrics.json is written; nowhere when None.
        collect_device: as MMEngine's.
        prefix: as MMEngine's.
        collect_dir: as MMEngine's.
    """

    default_prefix = "vectors"

    def __init__(
        self,
        out_dir: str | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.out_dir = out_dir

    def process(self, data_batch: object, data_samples: Sequence[Mapping]) -> None:
        """Keep one entry a place."""
        for sample in data_samples:
            if sample.get("pred") is None:
                raise DataError(f"place {sample['token']} has no restored vectors to compare")
            entry = {key: sample[key].cpu().double().numpy().reshape(-1, 2) for key in ("pred", "given", "points")}
            self.results.append({**entry, "spoilt": sample["spoilt"].cpu().numpy().reshape(-1)})

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Errors over all points of all places."""
        joined = [np.concatenate([entry[key] for entry in results]) for key in ("pred", "given", "points", "spoilt")]
        metrics = summarize_reconstruction(*joined)
        if self.out_dir is not None:
            flat = {f"{self.prefix}/{key}": None if np.isnan(value) else value for key, value in metrics.items()}
            text = json.dumps(flat, indent=1, sort_keys=True, allow_nan=False)
            (Path(self.out_dir) / "metrics.json").write_text(text + "\n", encoding="utf-8")
        return metrics
