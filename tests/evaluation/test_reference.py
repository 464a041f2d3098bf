"""Agreement with the plain reference, to 1e-9 and on sets large enough to have ties, misses and empty frames."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from mapstack.evaluation import PROTOCOLS, Options, evaluate

from . import reference
from .sets import random_set

NO_DRAWS = Options(replicates=0)


@pytest.mark.parametrize("seed", range(4))
def test_maptr_agrees_with_the_definition(seed: int) -> None:
    predictions, targets = random_set(seed, num_frames=15)
    result = evaluate(predictions, targets, classes=("a", "b", "c"), options=NO_DRAWS)
    for label in range(3):
        for threshold in (0.5, 1.0, 1.5):
            truth = reference.pooled_ap(predictions, targets, label, threshold)
            assert result.ap[label, threshold] == pytest.approx(truth, abs=1e-9)
    means = [np.mean([result.ap[label, t] for t in (0.5, 1.0, 1.5)]) for label in range(3)]
    assert result.map == pytest.approx(np.mean(means), abs=1e-12)
    assert 0.05 < result.map < 0.95  # the sets are neither trivial nor hopeless


@pytest.mark.parametrize("name", ["streammapnet_60x30", "streammapnet_100x50"])
def test_streammapnet_agrees_with_the_definition(name: str) -> None:
    predictions, targets = random_set(11, num_frames=6)
    result = evaluate(predictions, targets, name, options=NO_DRAWS)
    for (label, threshold), value in result.ap.items():
        truth = reference.pooled_ap(predictions, targets, label, threshold, num_points=200, simplify=0.2)
        assert value == pytest.approx(truth, abs=1e-9)
    assert sorted({t for _, t in result.ap}) == list(PROTOCOLS[name].thresholds_m)


def test_vectormapnet_scores_chamfer_and_frechet() -> None:
    predictions, targets = random_set(12, num_frames=5, num_targets=4, num_predictions=6)
    result = evaluate(predictions, targets, "vectormapnet", options=NO_DRAWS)
    frechet = result.companions["vectormapnet_frechet"]
    assert sorted({t for _, t in frechet.ap}) == [1.0, 2.0, 3.0]
    for (label, threshold), value in frechet.ap.items():
        truth = reference.pooled_ap(predictions, targets, label, threshold, distance=reference.frechet_either)
        assert value == pytest.approx(truth, abs=1e-9)
    assert {"mAP", "frechet_mAP"} <= set(result.metrics())


@pytest.mark.parametrize(
    ("mode", "levels"), [("11", np.arange(11) / 10), ("101", np.arange(101) / 100), ("10", np.arange(1, 11) / 10)]
)
def test_ap_modes_agree_with_the_definition(mode: str, levels: np.ndarray) -> None:
    predictions, targets = random_set(13, num_frames=5)
    result = evaluate(predictions, targets, replace(PROTOCOLS["maptr"], ap_mode=mode), options=NO_DRAWS)
    ap = partial(reference.level_ap, levels=list(levels))
    for (label, threshold), value in result.ap.items():
        assert value == pytest.approx(reference.pooled_ap(predictions, targets, label, threshold, ap=ap), abs=1e-9)


def test_three_dimensions_count_where_asked() -> None:
    predictions, targets = random_set(14, dim=3)
    flat, deep = (evaluate(predictions, targets, name, options=NO_DRAWS) for name in ("maptr", "maptr_3d"))
    cut = [
        {t: {**e, "vectors": [[p[:2] for p in v] for v in e["vectors"]]} for t, e in side.items()}
        for side in (predictions, targets)
    ]
    assert evaluate(*cut, options=NO_DRAWS).ap == flat.ap
    assert deep.map < flat.map


def test_the_buffer_filter_only_takes_hits_away() -> None:
    # Parallel lines 1.4 m apart, and a pair end to end: flat caps keep the second pair's buffers apart.
    targets = {"t": {"vectors": [[[0, 0], [10, 0]], [[20, 0], [20.5, 0]]], "labels": [0, 0]}}
    predictions = {
        "t": {"vectors": [[[0, 1.4], [10, 1.4]], [[21.9, 0], [22.0, 0]]], "labels": [0, 0], "scores": [0.9, 0.8]}
    }
    wide = replace(PROTOCOLS["maptr_buffer"], thresholds_m=(2.0,))
    without = evaluate(predictions, targets, replace(wide, buffer_m=0.0))
    assert without.map == pytest.approx(1.0)
    assert evaluate(predictions, targets, replace(wide, buffer_m=0.6)).map == 0.0
    assert evaluate(predictions, targets, wide).map == pytest.approx(0.5)
