"""What metrics that write their scores share."""

import json
from collections.abc import Mapping
from math import isnan
from pathlib import Path

from mmengine.evaluator import BaseMetric

__all__ = ["WrittenMetric"]


class WrittenMetric(BaseMetric):
    """A metric with a folder for its files.

    Args:
        out_dir: where metrics.json and what else a metric has are written; nowhere when None.
        **options: collect_device, prefix and collect_dir, as MMEngine's.
    """

    def __init__(self, out_dir: str | None = None, **options: str | None) -> None:
        super().__init__(**options)
        self.out_dir = out_dir

    def write_scores(self, metrics: Mapping[str, float]) -> None:
        """Write metrics.json, keys with the prefix, what is not a number as null; nothing without a folder."""
        if self.out_dir is not None:
            flat = {f"{self.prefix}/{key}": None if isnan(value) else value for key, value in metrics.items()}
            text = json.dumps(flat, indent=1, sort_keys=True, allow_nan=False)
            (Path(self.out_dir) / "metrics.json").write_text(text + "\n", encoding="utf-8")
