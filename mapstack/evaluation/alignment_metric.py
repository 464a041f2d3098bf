"""The MMEngine metric of sensor alignment: how far a sensor was moved on purpose, and what fusion left of it."""

from collections.abc import Mapping, Sequence

from mapstack.errors import DataError
from mapstack.registry import METRICS

from .written_metric import WrittenMetric

__all__ = ["AlignmentMetric"]


@METRICS.register_module()
class AlignmentMetric(WrittenMetric):
    """``alignment/made_m`` and ``alignment/left_m``: means over frames and cells of the patch, metres.

    The pipeline needs ``MisalignSensor``. A fusion that aligns nothing measures nothing: then there is no metric.

    Args:
        **options: as :class:`WrittenMetric`.
    """

    default_prefix = "alignment"

    def process(self, data_batch: object, data_samples: Sequence[Mapping]) -> None:
        """Keep a pair a frame, None where the fusion measured nothing."""
        for sample in data_samples:
            found = [sample.get(f"misalignment_{name}_m") for name in ("made", "left")]
            self.results.append(None if found[0] is None else tuple(map(float, found)))

    def compute_metrics(self, results: list[tuple[float, float] | None]) -> dict[str, float]:
        """Means over all frames.

        Raises:
            DataError: some frames were measured and some were not.
        """
        measured = [pair for pair in results if pair is not None]
        if 0 < len(measured) < len(results):
            raise DataError(
                f"{len(results) - len(measured)} of {len(results)} frames have no made error; see MisalignSensor"
            )
        means = [sum(column) / len(measured) for column in zip(*measured, strict=True)]
        metrics = dict(zip(("made_m", "left_m"), means, strict=False))
        self.write_scores(metrics)
        return metrics
