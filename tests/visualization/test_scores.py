import json
import math

import numpy as np

from mapstack.evaluation import Options, evaluate
from mapstack.visualization import PRCurve
from mapstack.visualization.page import table_html
from mapstack.visualization.scores import headline, protocol_facts, score_tables

CLASSES = ["divider", "boundary", "ped_crossing"]
LINES = [[[0, 0], [20, 0]], [[0, 6], [20, 6]], [[-25, -9], [-5, -9]]]


def make_metrics(protocol: str) -> dict:
    targets = {
        "meta": {"classes": CLASSES, "rules": {"divider": "painted", "origin": "ego"}},
        "results": {f"t{i}": {"vectors": LINES, "labels": [0, 1, 1], "scene": f"s{i % 3}"} for i in range(6)},
    }
    predictions = {
        f"t{i}": {"vectors": [LINES[0], [[0, 6.7], [20, 6.7]]], "labels": [0, 1], "scores": [0.9, 0.6]}
        for i in range(6)
    }
    return {"result": json.loads(evaluate(predictions, targets, protocol, options=Options(replicates=20)).to_json())}


def test_tables_hold_every_class_threshold_and_distance() -> None:
    metrics = make_metrics("maptr")
    per_class, *bins = score_tables(metrics)
    assert list(per_class.columns[3:6]) == ["0.5 m", "1 m", "1.5 m"]
    rows = {row[0]: row for row in per_class.rows}
    assert rows["divider"][1:7] == ["6", "6", "1.000", "1.000", "1.000", "1.000"]
    assert rows["boundary"][3:6] == ["0.000", "0.500", "0.500"]
    assert rows["ped_crossing"][6] == "0.000" and rows["mAP"][6] == f"{(1 + 1 / 3) / 3:.3f}"
    assert [table.title for table in bins] == ["By distance of the element to the car", "By element length"]
    assert [row[0] for row in bins[1].rows] == ["0-5 m", "5-15 m", "15-30 m", ">=30 m"]
    assert list(bins[0].columns) == ["distance", *CLASSES, "mAP"]
    assert all(table_html(table) for table in (per_class, *bins))


def test_the_headline_and_the_whole_protocol_are_there() -> None:
    metrics = make_metrics("maptr")
    name, value = headline(metrics)
    assert name == "maptr/mAP" and value == metrics["result"]["mAP"]
    facts = protocol_facts(metrics)
    text = " ".join(f"{key}: {words}" for key, words in facts.items())
    for piece in ("100", "0.5, 1, 1.5 m", "nearest target", "truth, divider: painted", "truth, origin: ego"):
        assert piece in text
    assert facts["95 % interval"] == "20 bootstrap draws of 3 scenes, seed 0"


def test_companions_get_tables_of_their_own_and_other_protocols_work() -> None:
    titles = [table.title for table in score_tables(make_metrics("vectormapnet"))]
    assert [title.split(",")[0] for title in titles if "per class" in title] == ["vectormapnet", "vectormapnet_frechet"]
    assert headline(make_metrics("raster_iou"))[0] == "raster_iou/mIoU"
    assert score_tables(make_metrics("raster_iou"))


def test_an_undefined_headline_is_no_number() -> None:
    metrics = make_metrics("maptr")
    metrics["result"]["mAP"] = None
    assert math.isnan(headline(metrics)[1])


def test_curves_count_hits() -> None:
    curve = PRCurve.from_hits("divider", "0.5 m", np.array([True, False, True]), 4, 0.4)
    assert curve.recall.tolist() == [0.25, 0.25, 0.5] and curve.precision.tolist() == [1, 0.5, 2 / 3]
    assert len(PRCurve.from_hits("divider", "0.5 m", np.array([False]), 0, 0.0).recall) == 0
