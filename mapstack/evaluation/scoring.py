"""One call from two sets of polylines to a :class:`Result`, whatever the protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .frames import EvaluationSet
from .lane_graph import LaneGraphScorer, collect_lane_graph
from .per_frame import FrameScorer, collect_per_frame
from .pooled import Bins, PooledScorer, breakdown, collect
from .protocols import PROTOCOLS, Protocol, get_protocol
from .raster import RasterScorer, collect_raster
from .result import HEADLINES, APTable, Result
from .statistics import Scorer, bootstrap, summarise
from .submission import Submission, open_submission
from .tracked import collect_tracked

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


@dataclass(frozen=True)
class _Scored:
    """What every kind of protocol leaves behind once all frames have gone by."""

    scorer: Scorer
    classes: tuple[str, ...]
    counts: tuple[NDArray, NDArray]  # (K,) targets and predictions
    breakdowns: tuple[dict, dict] = ({}, {})


def _score_pooled(protocol: Protocol, frames: EvaluationSet, options: Options) -> _Scored:
    collected = collect_tracked if protocol.kind == "tracked" else collect
    detections = collected(protocol, frames, options.bins)
    scorer = PooledScorer(protocol, frames.classes, detections, frames.units()[1])
    breakdowns = tuple(breakdown(scorer, detections, kind, options.bins) for kind in ("distance", "length"))
    counts = tuple(
        np.bincount(labels, minlength=len(frames.classes)) for labels in (detections.target_labels, detections.labels)
    )
    return _Scored(scorer, frames.classes, counts, breakdowns)


def _score_per_frame(protocol: Protocol, frames: EvaluationSet, options: Options) -> _Scored:
    aps, counts = collect_per_frame(protocol, frames)
    scorer = FrameScorer(frames.classes, protocol.thresholds_m, aps, frames.units()[1])
    return _Scored(scorer, frames.classes, counts)


def _score_raster(protocol: Protocol, frames: EvaluationSet, options: Options) -> _Scored:
    areas, counts = collect_raster(protocol, frames)
    return _Scored(RasterScorer(frames.classes, areas, frames.units()[1]), frames.classes, counts)


def _score_lane_graph(protocol: Protocol, frames: EvaluationSet, options: Options) -> _Scored:
    graphs = collect_lane_graph(protocol, frames, options.bins)
    scorer = LaneGraphScorer(protocol, graphs, frames.units()[1])
    counts = np.array([len(graphs.detections.target_labels)]), np.array([len(graphs.detections.labels)])
    return _Scored(scorer, scorer.rows[:1], counts)


KINDS = {
    "pooled": _score_pooled,
    "tracked": _score_pooled,
    "per_frame": _score_per_frame,
    "raster": _score_raster,
    "lane_graph": _score_lane_graph,
}


def _evaluate_one(protocol: Protocol, frames: EvaluationSet, options: Options) -> Result:
    scored = KINDS[protocol.kind](protocol, frames, options)
    scorer, classes = scored.scorer, scored.classes
    table = scorer.table()
    names = (*scorer.rows, HEADLINES.get(protocol.kind, "mAP"))
    values = dict(zip(names, summarise(scorer, table).tolist(), strict=True))
    unit, units = frames.units()
    num_units = int(units.max(initial=-1)) + 1
    drawn = bootstrap([scorer], num_units, options.replicates, options.seed)[0]
    numbers = {(k, t): float(table[k, c]) for k in range(len(classes)) for c, t in enumerate(scorer.columns)}
    return Result(
        protocol=protocol,
        classes=classes,
        rules=frames.rules,
        map=values[names[-1]],
        ap=APTable(numbers, classes),
        per_class={name: values[name] for name in classes},
        num_frames=len(frames.tokens),
        num_targets=dict(zip(classes, scored.counts[0].tolist(), strict=True)),
        num_predictions=dict(zip(classes, scored.counts[1].tolist(), strict=True)),
        by_distance=scored.breakdowns[0],
        by_length=scored.breakdowns[1],
        ci95=_interval(names, drawn),
        bootstrap={"unit": unit, "num_units": num_units, "replicates": len(drawn), "seed": options.seed},
        values={name: values[name] for name in names if name not in classes},
        scorer=scorer,
    )


def _interval(names: tuple[str, ...], drawn: NDArray) -> dict[str, tuple[float, float]]:
    """The middle 95 % of the draws, of what is defined in at least one of them."""
    return {
        name: tuple(np.nanpercentile(drawn[:, column], [2.5, 97.5]).tolist())
        for column, name in enumerate(names)
        if len(drawn) and not np.isnan(drawn[:, column]).all()
    }
