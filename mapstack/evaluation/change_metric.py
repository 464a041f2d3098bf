"""The MMEngine metric of map change detection: which prior elements the sensors contradict."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.maps.prior_lines import PRIOR_CLASSES
from mapstack.registry import METRICS

from .average_precision import average_precision, rank
from .written_metric import WrittenMetric

__all__ = ["ChangeMetric", "summarize_contradictions"]


def summarize_contradictions(
    scores: NDArray, changed: NDArray, labels: NDArray, threshold: float = 0.5
) -> dict[str, float]:
    """Compare (N,) scores of being contradicted with (N,) bool lists of changes, pooled over frames.

    Args:
        scores: in [0, 1].
        changed: what the list of changes says of each element's piece.
        labels: (N,) index into :data:`PRIOR_CLASSES`.
        threshold: an element is contradicted from this score on.

    Returns:
        ``precision``, ``recall``, ``AP``, ``wrong_share`` (the AP of a random order), the numbers of elements, and
        the AP of each class that has both kinds.
    """
    flagged = scores >= threshold
    hits = int((flagged & changed).sum())
    metrics: dict[str, float] = {
        "precision": hits / int(flagged.sum()) if flagged.any() else float("nan"),
        "recall": hits / int(changed.sum()) if changed.any() else float("nan"),
        "AP": average_precision(changed[rank(scores)], int(changed.sum())),
        "wrong_share": float(changed.mean()) if len(changed) else float("nan"),
        "pieces": len(changed),
        "wrong_pieces": int(changed.sum()),
    }
    for label in np.unique(labels):
        of_class = labels == label
        wrong = changed[of_class]
        if wrong.any() and not wrong.all():
            metrics[f"AP_{PRIOR_CLASSES[label]}"] = average_precision(wrong[rank(scores[of_class])], int(wrong.sum()))
    return metrics


@METRICS.register_module()
class ChangeMetric(WrittenMetric):
    """Scores of :func:`summarize_contradictions` over the elements of which a list of changes tells.

    Elements of unknown truth (street maps, earlier drives) are left out. An element counts once for every frame that
    shows it.

    Args:
        threshold: an element is contradicted from this score on.
        **options: as :class:`WrittenMetric`.
    """

    default_prefix = "change"

    def __init__(
        self,
        threshold: float = 0.5,
        **options: str | None,
    ) -> None:
        super().__init__(**options)
        self.threshold = threshold

    def process(self, data_batch: object, data_samples: Sequence[Mapping]) -> None:
        """Keep one entry a frame."""
        for sample in data_samples:
            prior, scores = sample.get("prior"), sample.get("prior_contradicted")
            if prior is None or scores is None:
                raise DataError(
                    f"token {sample['token']} has no judged priors; the model needs a part with change=dict()"
                )
            known = (prior.changed >= 0).cpu().numpy()
            self.results.append(
                {
                    "scores": scores.cpu().double().numpy()[known],
                    "changed": (prior.changed == 1).cpu().numpy()[known],
                    "labels": prior.labels.cpu().numpy()[known],
                }
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Score all frames."""
        joined = [np.concatenate([entry[key] for entry in results]) for key in ("scores", "changed", "labels")]
        metrics = summarize_contradictions(*joined, self.threshold)
        self.write_scores(metrics)
        return metrics
