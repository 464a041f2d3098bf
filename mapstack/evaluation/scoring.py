"""One call from two sets of polylines to a :class:`Result`, whatever the protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .frames import EvaluationSet
from .pooled import Bins, Detections, PooledScorer, collect
from .protocols import PROTOCOLS, Protocol, get_protocol
from .result import APTable, Result
from .statistics import Scorer, bootstrap, summarise
from .submission import Submission, open_submission

__all__ = ["Options", "evaluate"]

Source = Mapping | str | Path | Submission


@dataclass(frozen=True)
class Options:
    """What a score reports beside itself.

    Args:
        replicates: bootstrap draws; 0 for no interval.
        seed: of the bootstrap.
        bins: edges of the breakdowns.
    """

    replicates: int = 1000
    seed: int = 0
    bins: Bins = Bins()


def evaluate(
    predictions: Source,
    targets: Source,
    protocol: str | Protocol = "maptr",
    *,
    classes: Sequence[str] | None = None,
    scenes: Mapping[str, str] | None = None,
    options: Options = Options(),
) -> Result:
    """Score predictions against targets.

    Args:
        predictions: ``{token: {"vectors", "labels", "scores"}}``, the same under "results", or a JSON file of it.
        targets: likewise, without scores. "meta" may state "classes" and the "rules" of the truth.
        protocol: a name of ``PROTOCOLS``, or a protocol of one's own.
        classes: names in label order; by default the files' own, else the labels seen in ``targets``.
        scenes: token to scene, what the bootstrap draws; by default the entries' "scene", else single frames.
        options: bootstrap and breakdowns.

    Returns:
        The same to the last bit whatever the order of tokens. A frame without predictions misses all its
        targets; a class without targets counts as the protocol says; without frames every AP is undefined.

    Raises:
        DataError: names the file and the token, and what to mend.
    """
    protocol = get_protocol(protocol)
    frames = EvaluationSet(
        open_submission(predictions, "predictions"), open_submission(targets, "targets"), classes, scenes
    )
    result = _evaluate_one(protocol, frames, options)
    for name in protocol.companions:
        result.companions[name] = _evaluate_one(PROTOCOLS[name], frames, options)
    return result


def _evaluate_one(protocol: Protocol, frames: EvaluationSet, options: Options) -> Result:
    detections = collect(protocol, frames, options.bins)
    unit, units = frames.units()
    scorer = PooledScorer(protocol, frames.classes, detections, units)
    counts = [
        dict(zip(frames.classes, np.bincount(labels, minlength=len(frames.classes)).tolist(), strict=True))
        for labels in (detections.target_labels, detections.labels)
    ]
    breakdowns = [_breakdown(scorer, detections, kind, options.bins) for kind in ("distance", "length")]
    return _result(protocol, frames, scorer, counts, (unit, units), options, breakdowns)


def _result(
    protocol: Protocol,
    frames: EvaluationSet,
    scorer: Scorer,
    counts: list[dict[str, int]],
    units: tuple[str, NDArray],
    options: Options,
    breakdowns: list[dict],
) -> Result:
    table = scorer.table()
    *rows, mean = summarise(scorer, table).tolist()
    names = (*scorer.rows, "mAP")
    num_units = int(units[1].max(initial=-1)) + 1
    drawn = bootstrap([scorer], num_units, options.replicates, options.seed)[0]
    return Result(
        protocol=protocol,
        classes=frames.classes,
        rules=frames.rules,
        map=mean,
        ap=APTable(
            {(k, t): float(table[k, c]) for k in range(len(table)) for c, t in enumerate(scorer.columns)},
            frames.classes,
        ),
        per_class=dict(zip(scorer.rows, rows, strict=True)),
        num_frames=len(frames.tokens),
        num_targets=counts[0],
        num_predictions=counts[1],
        by_distance=breakdowns[0],
        by_length=breakdowns[1],
        ci95=_interval(names, drawn),
        bootstrap={"unit": units[0], "num_units": num_units, "replicates": len(drawn), "seed": options.seed},
        scorer=scorer,
    )


def _interval(names: tuple[str, ...], drawn: NDArray) -> dict[str, tuple[float, float]]:
    """The middle 95 % of the draws, of what is defined in at least one of them."""
    return {
        name: tuple(np.nanpercentile(drawn[:, column], [2.5, 97.5]).tolist())
        for column, name in enumerate(names)
        if len(drawn) and not np.isnan(drawn[:, column]).all()
    }


def _breakdown(scorer: PooledScorer, detections: Detections, kind: str, bins: Bins) -> dict[str, dict[str, float]]:
    """AP of each bin: its targets, the predictions that hit one of them, and the misses that lie in it."""
    column = ("distance", "length").index(kind)
    own = detections.bins[:, column, None]
    of_target = own
    if len(detections.target_bins):
        of_target = np.where(detections.hits, detections.target_bins[detections.nearest, column, None], own)
    found = {}
    for number, name in enumerate(bins.names(kind)):
        table = scorer.table_of(of_target == number, detections.target_bins[:, column] == number)
        found[name] = dict(zip((*scorer.rows, "mAP"), summarise(scorer, table).tolist(), strict=True))
    return found
