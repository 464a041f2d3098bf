"""Tracks, lane graphs, drawn lines and per-frame AP: small cases worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from mapstack.errors import DataError
from mapstack.evaluation import PROTOCOLS, Options, evaluate
from mapstack.evaluation.lane_graph import vertex_ap
from mapstack.evaluation.per_frame import cell_distances_m
from mapstack.evaluation.raster import cells_m
from mapstack.evaluation.tracked import demote_switches

from . import reference
from .sets import metre_line, perfect, random_set


def drive(tracks: list[int], order: list[int] | None = None, **more: object) -> tuple[dict, dict]:
    """One line seen in every frame of a drive, predicted where it is, with the given track ids."""
    predictions, targets = {}, {}
    for number, track in enumerate(tracks):
        frame = {"vectors": [metre_line(2.0)], "labels": [0], "scene": "s", "timestamp_ns": 10 * number}
        token = f"t{number if order is None else order[number]}"
        targets[token] = {**frame, "track_ids": [5]}
        predictions[token] = {**frame, "scores": [0.9], "track_ids": [track], **more}
    return predictions, targets


def test_a_switched_identity_is_a_miss() -> None:
    steady, switched = (evaluate(*drive(tracks), "cmap") for tracks in ([7, 7, 7, 7], [7, 7, 8, 8]))
    assert steady.map == 1.0
    assert switched.map == pytest.approx(0.5, abs=1e-12)  # the two hits of the first owner


def test_time_orders_a_drive_not_the_tokens() -> None:
    # Equal scores: the ranking goes by token; in time the first owner is 8 and holds the line in 3 of 4 frames.
    result = evaluate(*drive([8, 8, 8, 7], order=[3, 2, 1, 0]), "cmap")
    assert result.map == pytest.approx(3 * (3 / 4) / 4)


def test_identities_are_a_matter_of_one_drive() -> None:
    predictions, targets = drive([7, 7, 8, 8])
    for side in (predictions, targets):
        for token in ("t2", "t3"):
            side[token] = {**side[token], "scene": "another"}
    assert evaluate(predictions, targets, "cmap").map == 1.0


def test_cmap_leaves_out_what_is_unsure() -> None:
    assert evaluate(*drive([7, 7], scores=[0.4]), "cmap").num_predictions == {"0": 0}
    assert evaluate(*drive([7, 7], scores=[0.41]), "cmap").map == 1.0


def test_false_positives_without_targets_count_unless_as_published() -> None:
    predictions, targets = drive([7, 7])
    targets["t1"] = {**targets["t1"], "vectors": [], "labels": [], "track_ids": []}
    predictions["t1"]["scores"] = [0.95]
    assert evaluate(predictions, targets, "cmap").map == pytest.approx(0.5)
    published = evaluate(predictions, targets, "cmap_as_published")
    assert published.map == 1.0
    assert published.num_predictions == {"0": 1}


def test_cmap_without_tracks_is_maptr_at_200_points() -> None:
    predictions, targets = random_set(41, num_frames=10)
    for number, token in enumerate(targets):
        for side, offset in ((predictions, 0), (targets, 100)):
            count = len(side[token]["labels"])
            side[token] |= {"timestamp_ns": number, "track_ids": [number * 1000 + offset + i for i in range(count)]}
    plain = replace(PROTOCOLS["maptr"], num_points=200)
    every = replace(PROTOCOLS["cmap"], min_score=-1.0)
    assert evaluate(predictions, targets, every).ap == evaluate(predictions, targets, plain).ap


@pytest.mark.parametrize(
    ("key", "message"), [("track_ids", "needs 'track_ids'"), ("scene", "no scene"), ("timestamp_ns", "no timestamp_ns")]
)
def test_cmap_says_what_it_lacks(key: str, message: str) -> None:
    sides = drive([7, 7])
    for side in sides:
        side["t1"].pop(key)
    with pytest.raises(DataError, match=rf"t1.*{message}|{message}.*t1|token t0 to t1.*{message}"):
        evaluate(*sides, "cmap")


def test_the_first_owner_is_decided_by_time() -> None:
    hits, tracks = np.array([True, True, False, True]), np.array([1, 2, 2, 1])
    kept = demote_switches(hits, tracks, np.array([9, 9, 9, 9]), np.array([2, 0, 1, 3]))
    assert kept.tolist() == [False, True, False, False]


def lane_frames(edges: list, confidence: list, offset_m: float = 0.1) -> tuple[dict, dict]:
    lanes = [[[x, 0.0], [x + 9.0, 0.0]] for x in (-20.0, -10.0, 0.0)]
    targets = {"t": {"vectors": lanes, "labels": [0, 0, 0], "topology": edges}}
    moved = [[[x, y + offset_m] for x, y in lane] for lane in lanes]
    predictions = {"t": {"vectors": moved, "labels": [0, 0, 0], "scores": [0.9, 0.8, 0.7], "topology": confidence}}
    return predictions, targets


CHAIN = [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_a_perfect_lane_graph_scores_one() -> None:
    result = evaluate(*lane_frames(CHAIN, (0.9 * np.array(CHAIN)).tolist()), "openlanev2_2d")
    assert result.per_class == {"DET_l": pytest.approx(1.0)}
    assert result.values == pytest.approx({"TOP_ll": 1.0, "OLS": 1.0})
    assert result.map == pytest.approx(1.0)


def test_a_missing_edge_costs_its_two_vertices() -> None:
    confidence = [[0, 0.9, 0], [0, 0, 0.4], [0, 0, 0]]  # 0.4 is no edge
    result = evaluate(*lane_frames(CHAIN, confidence), "openlanev2_2d")
    assert result.values["TOP_ll"] == pytest.approx(4 / 6)
    assert result.values["OLS"] == pytest.approx((1 + (4 / 6) ** 0.5) / 2)


def test_lanes_that_were_not_found_count_as_wrongly_linked() -> None:
    predictions, targets = lane_frames(CHAIN, CHAIN)
    predictions["t"]["vectors"] = [[[x, y + 50.0] for x, y in lane] for lane in predictions["t"]["vectors"]]
    result = evaluate(predictions, targets, "openlanev2_2d")
    assert result.per_class["DET_l"] == 0.0
    assert result.values["TOP_ll"] == 0.0


def test_lane_distances_relax_with_the_distance_to_the_ego() -> None:
    # 1.05 m away and 20 m from the ego: 1.05 * 0.9 < 1. Near the ego the same offset misses the 1 m limit.
    def ap(y: float) -> float:
        target = {"t": {"vectors": [metre_line(y)], "labels": [0], "topology": [[0]]}}
        prediction = {"t": {"vectors": [metre_line(y + 1.05)], "labels": [0], "scores": [0.9], "topology": [[0]]}}
        return evaluate(prediction, target, "openlanev2_2d").ap[0, 1.0]

    assert (ap(20.0), ap(0.0)) == (1.0, 0.0)


def test_centerlines_have_a_direction() -> None:
    predictions, targets = lane_frames(CHAIN, CHAIN)
    predictions["t"]["vectors"] = [lane[::-1] for lane in predictions["t"]["vectors"]]
    assert evaluate(predictions, targets, "openlanev2_2d").per_class["DET_l"] == 0.0


def test_only_centerlines_are_lanes_where_classes_say() -> None:
    predictions, targets = lane_frames(CHAIN, CHAIN)
    for side in (predictions, targets):
        side["t"]["labels"] = [1, 0, 1]
    result = evaluate(predictions, targets, "openlanev2_2d", classes=("divider", "centerline"))
    assert result.num_targets == {"DET_l": 2}
    assert result.values["TOP_ll"] == 1.0  # the two lanes are not linked, and nobody says so


@pytest.mark.parametrize(("matrix", "message"), [([[1.0]], r"got shape \(1, 1\)"), ([[2.0] * 3] * 3, "outside")])
def test_a_wrong_topology_is_named(matrix: list, message: str) -> None:
    with pytest.raises(DataError, match=f"predictions: token t.*{message}"):
        evaluate(*lane_frames(CHAIN, matrix), "openlanev2_2d")


def test_lane_detection_agrees_with_the_definition() -> None:
    predictions, targets = random_set(42, num_frames=8, num_classes=1)
    for side in (predictions, targets):
        for entry in side.values():
            entry["topology"] = np.zeros((len(entry["labels"]),) * 2).tolist()
    protocol = replace(PROTOCOLS["openlanev2_2d"], relax_per_m=0.0, keep_sampled=False)
    result = evaluate(predictions, targets, protocol)
    for (_, threshold), value in result.ap.items():
        truth = reference.pooled_ap(
            predictions, targets, 0, threshold, num_points=11, distance=reference.frechet, inclusive=False,
            ap=lambda ranked, count: reference.level_ap(ranked, count, [k / 10 for k in range(11)]),
        )  # fmt: skip
        assert value == pytest.approx(truth, abs=1e-9)


def test_vertex_ap_ranks_edges_by_confidence() -> None:
    edges = np.array([[True, False, True], [False, False, False], [False, False, False]])
    confidence = np.array([[0.6, 0.9, 0.7], [0.1, 0.2, 0.3], [0.6, 0.0, 0.0]])
    np.testing.assert_allclose(vertex_ap(edges, confidence), [(1 / 2 + 2 / 3) / 2, 1.0, 0.0])


def test_iou_of_drawn_lines() -> None:
    thin = replace(PROTOCOLS["raster_iou"], thickness_px=1, cell_m=0.5)
    line, half = metre_line(2.1, 20.0, -10.0), metre_line(2.1, 9.5, -10.0)
    entry = {"labels": [0], "scores": [0.9]}
    targets = {"t": {"vectors": [line], **entry}}
    assert evaluate(targets, targets, thin).map == 1.0
    assert evaluate({"t": {"vectors": [half], **entry}}, targets, thin).map == pytest.approx(20 / 41)
    assert evaluate({"t": {"vectors": [line], "labels": [0], "scores": [0.4]}}, targets, thin).map == 0.0
    assert np.isnan(evaluate(targets, targets, thin, classes=("x", "y")).per_class["y"])


def test_iou_sums_cells_over_the_set() -> None:
    thin = replace(PROTOCOLS["raster_iou"], thickness_px=1, cell_m=0.5)
    long, short = (
        {"vectors": [metre_line(2.1, metres, -10.0)], "labels": [0], "scores": [0.9]} for metres in (20.0, 4.5)
    )
    none = {"vectors": [], "labels": [], "scores": []}
    assert evaluate({"a": long, "b": none}, {"a": long, "b": short}, thin).map == pytest.approx(41 / 51)


def test_cells_lie_on_one_lattice_whatever_the_element() -> None:
    cells = cells_m(np.array([[-3.2, 0.1], [4.7, 0.1]]), 0.15, 1)
    np.testing.assert_allclose(cells / 0.15, np.round(cells / 0.15), atol=1e-9)
    assert len(np.unique(cells[:, 1])) == 1
    assert len(cells) == 54
    assert len(cells_m(np.array([[-3.2, 0.1], [4.7, 0.1]]), 0.15, 8)) > 8 * 54


def test_cell_distances_agree_with_the_definition() -> None:
    sets = [[cells_m(np.array(metre_line(y)), 0.5, 1) for y in values] for values in ((0.0, 1.0, 9.0), (0.2, 30.0))]
    distances = cell_distances_m(*sets, reach_m=10.0)
    assert distances[1, 0] == pytest.approx(reference.chamfer(sets[0][1], sets[1][0]))
    assert np.isinf(distances[:, 1]).all()


def test_supermapnet_as_published_rewards_inverted_confidences() -> None:
    """What EVALUATION.md measured on the original: a calibrated detector 1/3, the inverted one 1."""
    vectors = [metre_line(2.0), metre_line(8.0), metre_line(-8.0)]
    targets = {"t": {"vectors": vectors[:1], "labels": [0]}}
    calibrated, inverted = (
        {"t": {"vectors": vectors, "labels": [0, 0, 0], "scores": scores}}
        for scores in ([0.9, 0.2, 0.1], [0.1, 0.8, 0.9])
    )
    published, mended = "supermapnet_easy_as_published", "supermapnet_easy"
    assert evaluate(calibrated, targets, published).map == pytest.approx(1 / 3)
    assert evaluate(inverted, targets, published).map == pytest.approx(1.0)
    assert evaluate(calibrated, targets, mended).map == pytest.approx(1.0)
    assert evaluate(inverted, targets, mended).map == pytest.approx(1 / 3)


def test_supermapnet_averages_frames() -> None:
    targets = random_set(43)[1]
    predictions = perfect(targets)
    token = next(t for t in sorted(targets) if targets[t]["labels"])
    predictions[token] = {"vectors": [], "labels": [], "scores": []}
    result = evaluate(predictions, targets, "supermapnet_easy", options=Options(replicates=50))
    for label in range(3):
        frames = [t for t in targets if label in targets[t]["labels"]]
        assert result.per_class[str(label)] == pytest.approx(1 - (token in frames) / len(frames))
    assert result.ci95["mAP"][0] <= result.map <= result.ci95["mAP"][1]


def test_thick_targets_loosen_the_published_supermapnet() -> None:
    targets = {"t": {"vectors": [metre_line(2.0)], "labels": [0]}}
    predictions = {"t": {"vectors": [metre_line(2.0 + 0.6)], "labels": [0], "scores": [0.9]}}
    assert evaluate(predictions, targets, "supermapnet_hard").ap[0, 0.5] == 0.0
    assert evaluate(predictions, targets, "supermapnet_hard_as_published").ap[0, 0.5] == 1.0
