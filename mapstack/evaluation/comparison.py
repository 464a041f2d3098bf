"""Several predictions of the same targets side by side, with the sampling noise that they share taken out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError

from .result import HEADLINES, Result
from .statistics import bootstrap
from .table import rows_to_text

__all__ = ["Difference", "compare", "render_comparison"]


@dataclass(frozen=True)
class Difference:
    """How much better a result is than the baseline.

    Args:
        name: of the result.
        row: class, or the protocol's headline number.
        value: the result's.
        difference: value minus the baseline's.
        low: lower end of the 95 % interval of the difference under paired draws of units; NaN without draws.
        high: upper end.
        share_better: share of the draws in which the result is ahead of the baseline, ties half.
    """

    name: str
    row: str
    value: float
    difference: float
    low: float
    high: float
    share_better: float


def compare(results: Mapping[str, Result], replicates: int = 1000, seed: int = 0) -> list[Difference]:
    """Every result against the first, on the same bootstrap draws.

    Args:
        results: name to result, of one protocol and the same targets.
        replicates: paired draws of scenes (of frames where no scene is known).
        seed: of the draws.

    Returns:
        A difference per result and row, the baseline's own included (0).

    Raises:
        DataError: the results are not of the same protocol, frames and targets.
    """
    baseline_name, baseline = next(iter(results.items()))
    for name, result in results.items():
        same = ("protocol", "classes", "num_frames", "num_targets", "rules")
        differing = [key for key in same if getattr(result, key) != getattr(baseline, key)]
        if differing or result.bootstrap["num_units"] != baseline.bootstrap["num_units"]:
            raise DataError(
                f"{name} and {baseline_name} differ in {', '.join(differing) or 'scenes'}; score them alike"
            )
    drawn = bootstrap([result.scorer for result in results.values()], baseline.bootstrap["num_units"], replicates, seed)
    rows = (*baseline.scorer.rows, HEADLINES.get(baseline.protocol.kind, "mAP"))
    found = []
    for number, (name, result) in enumerate(results.items()):
        for column, row in enumerate(rows):
            values = [{**one.per_class, **one.values}[row] for one in (result, baseline)]
            ahead = drawn[number, :, column] - drawn[0, :, column]
            found.append(Difference(name, row, values[0], values[0] - values[1], *_spread(ahead)))
    return found


def _spread(ahead: NDArray) -> tuple[float, float, float]:
    """95 % interval of the draws, and the share above 0."""
    ahead = ahead[~np.isnan(ahead)]
    if not len(ahead):
        return float("nan"), float("nan"), float("nan")
    low, high = np.percentile(ahead, [2.5, 97.5]).tolist()
    return low, high, float(((ahead > 0) + 0.5 * (ahead == 0)).mean())


def render_comparison(results: Mapping[str, Result], differences: list[Difference]) -> str:
    """A table per row, and the protocol and the truth's rules below."""
    baseline_name, baseline = next(iter(results.items()))
    rows = [["", "predictions", "value", f"minus {baseline_name}", "95 % interval", "ahead in draws"]]
    for item in sorted(differences, key=lambda item: [d.row for d in differences].index(item.row)):
        interval = "-" if np.isnan(item.low) else f"[{item.low:+.4f}, {item.high:+.4f}]"
        share = "-" if np.isnan(item.share_better) else f"{item.share_better:.1%}"
        rows.append([item.row, item.name, f"{item.value:.4f}", f"{item.difference:+.4f}", interval, share])
    rules = ", ".join(f"{name}: {rule}" for name, rule in sorted(baseline.truth_rules().items()))
    drawn = baseline.bootstrap
    paired = f"paired bootstrap over {drawn['num_units']} {drawn['unit']}s, {baseline.num_frames} frames"
    return "\n".join([*rows_to_text(rows), "", *baseline.protocol.describe(), f"truth: {rules}", paired])
