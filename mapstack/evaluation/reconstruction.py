"""How well a model restores vectors that were spoilt."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.registry import METRICS
from mapstack.structures.vector_data_sample import SPOILT

from .written_metric import WrittenMetric

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
class ReconstructionError(WrittenMetric):
    """Errors of :func:`summarize_reconstruction` over all places, ``vectors/rmse_m`` and so on.

    Args:
        **options: as :class:`WrittenMetric`.
    """

    default_prefix = "vectors"

    def __init__(
        self,
        **options: str | None,
    ) -> None:
        super().__init__(**options)

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
        self.write_scores(metrics)
        return metrics
