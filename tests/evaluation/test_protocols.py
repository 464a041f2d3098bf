"""Protocols state themselves, and undefined cases have defined results."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mapstack.errors import ConfigError
from mapstack.evaluation import PROTOCOLS, Bins, Options, Protocol, evaluate

from .sets import metre_line, perfect, random_set

EMPTY = {"vectors": [], "labels": [], "scores": []}
FULL = {"vectors": [metre_line(2.0)], "labels": [0], "scores": [0.9]}
FLAT = [name for name, protocol in PROTOCOLS.items() if protocol.kind in ("pooled", "per_frame") and protocol.dim == 2]


def test_the_published_names_are_there() -> None:
    names = (
        "maptr streammapnet_60x30 streammapnet_100x50 vectormapnet supermapnet_hard supermapnet_easy cmap raster_iou"
    )
    assert set(names.split()) | {"openlanev2"} <= set(PROTOCOLS)


@pytest.mark.parametrize(
    ("name", "num_points", "simplified_m", "thresholds_m", "inclusive", "ap_mode"),
    [
        ("maptr", 100, 0.0, (0.5, 1.0, 1.5), True, "area"),
        ("streammapnet_60x30", 200, 0.2, (0.5, 1.0, 1.5), True, "area"),
        ("streammapnet_100x50", 200, 0.2, (1.0, 1.5, 2.0), True, "area"),
        ("vectormapnet", 100, 0.0, (0.5, 1.0, 1.5), True, "area"),
        ("vectormapnet_frechet", 100, 0.0, (1.0, 2.0, 3.0), True, "area"),
        ("supermapnet_hard", 100, 0.0, (0.2, 0.5, 1.0), False, "10"),
        ("supermapnet_easy", 100, 0.0, (0.5, 1.0, 1.5), False, "10"),
        ("cmap", 200, 0.0, (0.5, 1.0, 1.5), True, "area"),
        ("openlanev2", 11, 0.0, (1.0, 2.0, 3.0), False, "11"),
    ],
)
def test_the_published_settings_stand(
    name: str, num_points: int, simplified_m: float, thresholds_m: tuple, inclusive: bool, ap_mode: str
) -> None:
    protocol = PROTOCOLS[name]
    assert (protocol.num_points, protocol.simplify_targets_m) == (num_points, simplified_m)
    assert (protocol.thresholds_m, protocol.inclusive, protocol.ap_mode) == (thresholds_m, inclusive, ap_mode)


def test_protocols_are_frozen_and_can_be_varied() -> None:
    with pytest.raises(AttributeError):
        PROTOCOLS["maptr"].num_points = 20
    wide = replace(PROTOCOLS["maptr"], thresholds_m=[2.0, 1.0])
    assert wide.thresholds_m == (1.0, 2.0)
    predictions, targets = random_set(1)
    assert sorted({t for _, t in evaluate(predictions, targets, wide).ap}) == [1.0, 2.0]


@pytest.mark.parametrize("changes", [{"thresholds_m": ()}, {"thresholds_m": (0.0,)}, {"dim": 4}, {"num_points": 1}])
def test_senseless_protocols_are_refused(changes: dict) -> None:
    with pytest.raises(ConfigError, match="protocol own"):
        Protocol("own", "nobody", **changes)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_states_itself(name: str) -> None:
    text = "\n".join(PROTOCOLS[name].describe())
    assert name in text
    for threshold_m in PROTOCOLS[name].thresholds_m if PROTOCOLS[name].kind != "raster" else ():
        assert f"{threshold_m:g}" in text


def test_the_printed_table_states_protocol_and_truth() -> None:
    predictions, targets = random_set(2)
    meta = {"classes": ["divider", "ped_crossing", "boundary"], "rules": {"divider": "maptrv2", "origin": "ego"}}
    text = str(evaluate(predictions, {"meta": meta, "results": targets}))
    for words in (
        "100 at equal arc length", "Chamfer, mean of both directions", "<= 0.5, 1, 1.5 m", "nearest target",
        "area under the interpolated curve", "a class without targets counts 0", "divider: maptrv2", "origin: ego",
        "crossing: not stated", "bootstrap draws of 4 scenes", "distance to ego", "element length", "boundary",
    ):  # fmt: skip
        assert words in text


def test_json_holds_everything_and_no_nan() -> None:
    predictions, targets = random_set(3)
    result = evaluate(predictions, targets, options=Options(replicates=10))
    loaded = json.loads(result.to_json())
    assert loaded["mAP"] == result.map
    assert loaded["protocol"]["num_points"] == 100
    assert {(row["label"], row["threshold_m"]): row["ap"] for row in loaded["ap"]} == dict(result.ap)
    assert loaded["bootstrap"] == {"unit": "scene", "num_units": 4, "replicates": 10, "seed": 0}
    assert loaded["truth_rules"]["divider"].startswith("not stated")
    assert "NaN" not in result.to_json()


def test_ap_is_found_by_label_and_by_name() -> None:
    result = evaluate(*random_set(4), classes=("divider", "ped_crossing", "boundary"))
    assert result.ap["boundary", 1.0] == result.ap[2, 1.0]
    with pytest.raises(KeyError, match="classes divider, ped_crossing, boundary"):
        result.ap["kerb", 1.0]


@pytest.mark.parametrize("name", FLAT)
def test_a_frame_without_predictions_only_misses(name: str) -> None:
    targets = {"a": FULL, "b": FULL}
    both = evaluate({"a": FULL, "b": FULL}, targets, name)
    half = evaluate({"a": FULL, "b": EMPTY}, targets, name)
    assert both.map == pytest.approx(1.0)
    assert half.map == pytest.approx(0.5, abs=0.05)
    assert half.num_predictions == {"0": 1}


@pytest.mark.parametrize("name", FLAT)
def test_false_positives_of_a_frame_without_targets_count(name: str) -> None:
    sure = {**FULL, "scores": [0.99]}
    assert evaluate({"a": FULL, "b": sure}, {"a": FULL, "b": EMPTY}, name).map == pytest.approx(0.5)


@pytest.mark.parametrize(("name", "absent", "mean"), [("maptr", 0.0, 0.5), ("supermapnet_easy", np.nan, 1.0)])
def test_a_class_without_targets_counts_as_the_protocol_says(name: str, absent: float, mean: float) -> None:
    result = evaluate({"a": FULL}, {"a": FULL}, name, classes=("there", "absent"))
    assert result.per_class == pytest.approx({"there": 1.0, "absent": absent}, nan_ok=True)
    assert result.map == pytest.approx(mean)
    assert result.metrics()["AP_absent"] == pytest.approx(absent, nan_ok=True)


@pytest.mark.parametrize("absent", ["zero", "nan"])
def test_an_empty_set_has_a_result(absent: str) -> None:
    protocol = replace(PROTOCOLS["maptr"], absent_class=absent)
    for frames in ({}, {"a": EMPTY, "b": EMPTY}):
        result = evaluate(frames, frames, protocol, classes=("x", "y"))
        assert result.map == pytest.approx(0.0 if absent == "zero" else np.nan, nan_ok=True)
        assert json.loads(result.to_json())["num_targets"] == {"x": 0, "y": 0}
        assert "x" in str(result)
    assert np.isnan(evaluate({}, {}, protocol).map)  # no class is known either


@pytest.mark.parametrize("name", ["supermapnet_hard", "raster_iou", "cmap", "openlanev2", "vectormapnet"])
def test_an_empty_set_has_a_result_under_every_kind(name: str) -> None:
    result = evaluate({}, {}, name, classes=("x",))
    assert result.num_frames == 0
    assert json.loads(result.to_json())["ci95"] == {}
    assert "truth:" in str(result)


def test_breakdowns_split_targets_by_where_and_how_long_they_are() -> None:
    near, far = metre_line(2.0, length=4.0, x=0.0), metre_line(12.0, length=20.0, x=-10.0)
    targets = {"t": {"vectors": [near, far], "labels": [0, 0]}}
    predictions = {"t": {"vectors": [near, metre_line(-12.0, 20.0)], "labels": [0, 0], "scores": [0.5, 0.9]}}
    result = evaluate(predictions, targets)
    assert result.map == pytest.approx(0.25)
    assert result.by_distance["0-10 m"]["mAP"] == 1.0  # the far false positive is no business of this bin
    assert result.by_distance["10-20 m"]["mAP"] == 0.0
    assert np.isnan(result.by_distance["20-30 m"]["mAP"])
    assert result.by_length["0-5 m"]["mAP"] == 1.0
    assert result.by_length["15-30 m"]["mAP"] == 0.0
    other = evaluate(predictions, targets, options=Options(bins=Bins(distance_m=(0.0, 50.0), length_m=(0.0,))))
    assert list(other.by_distance) == ["0-50 m", ">=50 m"]
    assert other.by_length[">=0 m"]["mAP"] == pytest.approx(result.map)


def test_a_hit_belongs_to_the_bin_of_its_target() -> None:
    targets = {"t": {"vectors": [metre_line(9.9)], "labels": [0]}}
    predictions = {"t": {"vectors": [metre_line(10.2)], "labels": [0], "scores": [0.5]}}
    result = evaluate(predictions, targets)
    assert result.by_distance["0-10 m"]["mAP"] == 1.0


def test_the_interval_covers_the_score_and_narrows_with_scenes() -> None:
    predictions, targets = random_set(5, num_frames=60)
    result = evaluate(predictions, targets)
    low, high = result.ci95["mAP"]
    assert result.bootstrap["unit"] == "scene"
    assert low < result.map < high
    frames = evaluate(predictions, {t: {k: v for k, v in e.items() if k != "scene"} for t, e in targets.items()})
    assert frames.bootstrap == {**result.bootstrap, "unit": "frame", "num_units": 60}
    assert "too narrow" in str(frames)
    named = evaluate(predictions, targets, scenes={token: "ab"[i % 2] for i, token in enumerate(targets)})
    assert named.bootstrap["num_units"] == 2


def test_one_scene_has_no_interval() -> None:
    predictions, targets = random_set(6, num_frames=3)
    assert evaluate(predictions, targets).ci95 == {}


def test_perfect_predictions_have_a_perfect_interval() -> None:
    targets = random_set(7)[1]
    result = evaluate(perfect(targets), targets)
    assert result.map == pytest.approx(1.0)
    assert result.ci95["mAP"] == pytest.approx((1.0, 1.0))
