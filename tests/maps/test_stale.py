"""Ageing: one past a map, as strong as stated, and every change in the list."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from mapstack.errors import DataError
from mapstack.geometry import BEVGrid
from mapstack.maps import MapLayer, VectorMap, load_argoverse2
from mapstack.maps.changes import ChangeIndex, MapChange, read_changes, write_changes
from mapstack.maps.prior_lines import PRIOR_CLASSES, PriorLines
from mapstack.maps.stale import Ageing, age_map, only_classes

from .conftest import LOG, pose_at
from .streets import CENTER, street_map

GRID = BEVGrid((-60, -30, -5, 60, 30, 3), 0.5)


def coordinates(vector_map: VectorMap, layer: str) -> list[np.ndarray]:
    return [shapely.get_coordinates(line) for line in vector_map.layers[layer].geometries]


def world_lines(prior: PriorLines, pose: np.ndarray) -> list[np.ndarray]:
    return [line @ pose[:2, :2].T + pose[:2, 3] for line in prior.crop(pose, GRID).vertices]


def test_strength_zero_is_todays_map() -> None:
    today = street_map()
    aged = age_map(today, Ageing.at(0.0))
    assert not aged.changes and Ageing.at(0.0).is_none and not Ageing.at(0.1).is_none
    for name, rule in (("divider", "maptrv2"), ("ped_crossing", "parallel"), ("boundary", ""), ("centerline", "")):
        one, two = (shapely.union_all(m.elements(name, rule)) for m in (today, aged.vector_map))
        assert shapely.hausdorff_distance(one, two) < 1e-9


def test_changes_grow_with_strength() -> None:
    today = street_map()
    counts = [len(age_map(today, Ageing.at(strength)).changes) for strength in (0.25, 1.0, 3.0)]
    assert 0 < counts[0] < counts[1] < counts[2]
    elements = len(today.elements("divider", "maptrv2")) + len(today.elements("ped_crossing", "parallel"))
    changed = [c for c in age_map(today, Ageing.at(1.0)).changes if c.name in ("divider", "ped_crossing")]
    assert 0.25 < len(changed) / elements < 0.47, "0.36 is stated"


def test_the_past_is_the_same_for_whoever_looks() -> None:
    today = street_map()
    turned = {name: MapLayer(layer.geometries[::-1], layer.attributes[::-1]) for name, layer in today.layers.items()}
    reversed_lines = shapely.reverse(turned["lane_divider"].geometries)
    turned["lane_divider"] = MapLayer(reversed_lines, turned["lane_divider"].attributes)
    one, two = (age_map(m, Ageing.at(1.0), seed=3, pivot=(0, 0)) for m in (today, VectorMap(turned)))
    assert {(c.operation, c.token) for c in one.changes} == {(c.operation, c.token) for c in two.changes}
    for layer in ("lane_divider", "ped_crossing"):
        a, b = (
            sorted(np.round(line, 6).mean(0).tolist() for line in coordinates(m.vector_map, layer)) for m in (one, two)
        )
        np.testing.assert_allclose(a, b, atol=1e-5)
    other = age_map(today, Ageing.at(1.0), seed=4)
    assert {c.token for c in other.changes} != {c.token for c in one.changes}


def test_an_extract_of_the_map_has_the_same_past() -> None:
    """Two logs of a city hold different parts of its map; what both hold must age alike."""
    today = street_map()
    part = {name: _half(layer) for name, layer in today.layers.items() if name != "boundary"}
    part["boundary"] = today.layers["boundary"]
    whole, half = (age_map(m, Ageing.at(1.0), pivot=(0, 0)) for m in (today, VectorMap(part)))
    shared = {c.token for c in half.changes}
    assert {c.token for c in whole.changes if c.name in ("divider", "ped_crossing")} & shared
    assert {(c.token, c.operation) for c in half.changes if c.name != ""} <= {
        (c.token, c.operation) for c in whole.changes
    }


def _half(layer: MapLayer) -> MapLayer:
    keep = shapely.get_coordinates(shapely.centroid(layer.geometries))[:, 0] < CENTER[0] + 200.0
    return MapLayer(layer.geometries[keep], [a for a, k in zip(layer.attributes, keep, strict=True) if k])


def test_every_frame_of_every_drive_sees_the_same_map() -> None:
    prior = PriorLines.from_hd_map(age_map(street_map(), Ageing.at(2.0)).vector_map)
    first = world_lines(prior, pose_at(*(CENTER + 100), 0.3))
    for pose in (pose_at(*(CENTER + 104), -2.0), pose_at(*(CENTER + [90, 95]), 1.0)):
        merged = shapely.union_all([shapely.LineString(line) for line in first])
        near = [line for line in world_lines(prior, pose) if np.linalg.norm(line.mean(0) - CENTER - 100) < 15]
        assert near and all(shapely.distance(shapely.points(line), merged).min() < 1e-6 for line in near)
    again = PriorLines.from_hd_map(age_map(street_map(), Ageing.at(2.0)).vector_map)
    for one, two in zip(first, world_lines(again, pose_at(*(CENTER + 100), 0.3)), strict=True):
        np.testing.assert_array_equal(one, two)  # averaging many frames recovers nothing


def test_the_list_names_exactly_what_changed() -> None:
    today, aged = street_map(), age_map(street_map(), Ageing.at(1.0).local_only())
    for name, layer, rule in (("divider", "lane_divider", "maptrv2"), ("ped_crossing", "ped_crossing", "parallel")):
        old = [key(line) for line in coordinates(aged.vector_map, layer)]
        now = [key(shapely.get_coordinates(shape)) for shape in today.elements(name, rule)]
        listed = [change for change in aged.changes if change.name == name]
        gone = [key(line) for change in listed for line in change.before]
        shown = [key(line) for change in listed for line in change.after]
        assert sorted(old) == sorted([*(set(now) - set(gone)), *shown])
        assert {change.operation for change in listed} >= {"removed", "added"}
    kinds = {change.operation for change in aged.changes}
    assert kinds >= {"shifted", "relaned", "moved", "reshaped"} and "uncovered" not in kinds


def key(line: np.ndarray) -> tuple:
    return tuple(sorted({tuple(point) for point in np.round(line, 3).tolist()}))


def test_the_kerb_moves_only_where_the_list_says_and_by_what_it_says() -> None:
    today, aged = street_map(), age_map(street_map(), Ageing(reshaped=0.4))
    kerb = shapely.union_all(today.elements("boundary"))
    points = shapely.points(np.concatenate(coordinates(aged.vector_map, "boundary")))
    moved = shapely.distance(points, kerb)
    changes = [change for change in aged.changes if change.operation == "reshaped"]
    listed = shapely.union_all([shapely.LineString(line) for change in changes for line in change.after])
    assert changes and (shapely.distance(points[moved > 0.31], listed) < 0.01).all()
    assert 0.8 < moved.max() <= 2.51 and max(abs(change.metres) for change in changes) <= 2.5
    for line in aged.vector_map.layers["boundary"].geometries:
        assert line.is_ring, "rings stay closed"


def test_the_whole_map_moves_as_far_as_stated() -> None:
    today = street_map()
    moved = age_map(today, Ageing(offset_m=1.5, rotation_deg=0.5), pivot=tuple(CENTER)).vector_map
    before, after = (np.concatenate(coordinates(m, "lane_divider")) - CENTER for m in (today, moved))
    order = np.lexsort(before.T)
    before, after = before[order], _sorted_alike(today, moved)[order]
    turn = np.linalg.svd((before - before.mean(0)).T @ (after - after.mean(0)))
    rotation = (turn[0] @ turn[2]).T
    assert abs(np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0]))) == pytest.approx(0.5, abs=1e-3)
    assert np.linalg.norm((after - before @ rotation.T).mean(0)) == pytest.approx(1.5, abs=1e-3)


def _sorted_alike(today: VectorMap, moved: VectorMap) -> np.ndarray:
    """Vertices of the moved dividers in the order of today's (ageing may turn a line round)."""
    ends = []
    for one, two in zip(coordinates(today, "lane_divider"), coordinates(moved, "lane_divider"), strict=True):
        same = np.linalg.norm(one - two, axis=1).sum() <= np.linalg.norm(one - two[::-1], axis=1).sum()
        ends.append(two if same else two[::-1])
    return np.concatenate(ends) - CENTER


def test_noise_and_warp_have_the_stated_spread() -> None:
    today = street_map()
    noisy = age_map(today, Ageing(noise_m=0.3)).vector_map
    offsets = _sorted_alike(today, noisy) - (np.concatenate(coordinates(today, "lane_divider")) - CENTER)
    assert offsets.std() == pytest.approx(0.3, rel=0.15) and abs(offsets.mean()) < 0.05
    warped = age_map(today, Ageing(warp_m=1.0)).vector_map
    distance = shapely.distance(
        shapely.points(np.concatenate(coordinates(warped, "boundary"))), shapely.union_all(today.elements("boundary"))
    )
    assert 0.3 < np.sqrt((distance**2).mean()) < 1.2
    for line in coordinates(warped, "lane_divider"):  # smooth: neighbours of 10 m move alike
        steps = np.diff(np.linalg.norm(np.diff(line, axis=0), axis=1))
        assert np.abs(steps).max() < 1.5


def test_uncovered_tiles_hold_nothing() -> None:
    aged = age_map(street_map(), Ageing(uncovered=0.3))
    gone = shapely.union_all([shapely.Polygon(c.before[0]) for c in aged.changes if c.operation == "uncovered"])
    assert gone.area > 120.0**2
    for layer in ("lane_divider", "boundary", "centerline"):
        left = shapely.union_all(aged.vector_map.layers[layer].geometries)
        assert left.intersection(gone.buffer(-0.01)).length == 0 and left.length > 100.0


def test_heights_are_kept() -> None:
    aged = age_map(street_map(height=70.0), Ageing.at(2.0)).vector_map
    assert aged.has_z
    for layer in aged.layers.values():
        points = shapely.get_coordinates(layer.geometries, include_z=True)
        assert np.isfinite(points).all() and np.abs(points[:, 2] - 70.0 - 0.01 * points[:, 0]).max() < 0.3


def test_a_real_map_ages(argoverse2_logs: Path) -> None:
    today = load_argoverse2(argoverse2_logs / LOG)
    aged = age_map(today, Ageing.at(1.0), divider_rule="painted")
    assert aged.vector_map.has_z and {c.operation for c in aged.changes} >= {"removed", "shifted", "reshaped"}
    for layer in aged.vector_map.layers.values():
        assert np.isfinite(shapely.get_coordinates(layer.geometries, include_z=True)).all()
    one, two = (shapely.union_all(shapely.force_2d(m.elements("boundary"))) for m in (today, aged.vector_map))
    far = shapely.distance(shapely.points(shapely.get_coordinates(two)), one)
    assert 0.05 < np.median(far) < 0.6 and far.max() < 4.0


@pytest.mark.parametrize("classes", [("boundary",), ("centerline",), ("boundary", "divider")])
def test_variants_hold_only_their_classes(classes: tuple[str, ...]) -> None:
    kept = only_classes(age_map(street_map(), Ageing.at(1.0)).vector_map, classes)
    for name, rule in (("divider", "painted"), ("ped_crossing", "parallel"), ("boundary", ""), ("centerline", "")):
        assert bool(len(kept.elements(name, rule))) == (name in classes)


@pytest.mark.parametrize(
    "wrong", [{"removed": 0.7, "added": 0.7}, {"shift_m": (2.0, 1.0)}, {"noise_m": -1.0}, {"uncovered": 1.5}]
)
def test_impossible_ageing_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="share|distance|negative"):
        Ageing(**wrong)
    with pytest.raises(ValueError, match="at least 0"):
        Ageing.at(-1.0)


def test_changes_survive_a_file(tmp_path: Path) -> None:
    changes = age_map(street_map(), Ageing.at(1.0)).changes
    write_changes(tmp_path / "changes.json", changes)
    again = read_changes(tmp_path / "changes.json")
    assert [(c.operation, c.name, c.token, c.tile) for c in again] == [
        (c.operation, c.name, c.token, c.tile) for c in changes
    ]
    for one, two in zip(again, changes, strict=True):
        for side in ("before", "after"):
            for a, b in zip(getattr(one, side), getattr(two, side), strict=True):
                np.testing.assert_allclose(a, b, atol=1e-4)
    (tmp_path / "changes.json").write_text('{"version": 1, "changes": [{"operation": "removed"}]}')
    with pytest.raises(DataError, match=r"changes\.json: a change is damaged"):
        read_changes(tmp_path / "changes.json")


def test_pieces_of_changed_elements_are_told_from_the_others() -> None:
    aged = age_map(street_map(), Ageing.at(1.0))
    prior = PriorLines.from_hd_map(aged.vector_map, changes=aged.changes)
    truth = {shape.wkt for change in aged.changes for shape in _final(change)}
    checked = 0
    for place in (100.0, 180.0, 260.0):
        patch = prior.crop(pose_at(*(CENTER + place), 0.2), GRID)
        assert set(patch.changed.tolist()) == {0, 1}
        for number, label, changed in zip(patch.elements, patch.labels, patch.changed, strict=True):
            if PRIOR_CLASSES[label] == "divider" and shapely.get_num_points(prior.lines[number]) < 12:
                after = [s for c in aged.changes if c.name == "divider" for s in _final(c)]
                near = min((shapely.hausdorff_distance(prior.lines[number], s) for s in after), default=9.0)
                assert bool(changed) == (near < 0.3)
                checked += 1
    assert checked > 10 and truth
    unknown = PriorLines.from_hd_map(aged.vector_map).crop(pose_at(*(CENTER + 100), 0.2), GRID)
    assert set(unknown.changed.tolist()) == {-1}


def _final(change: MapChange) -> list[shapely.LineString]:
    return [shapely.LineString(line) for line in change.after]


def test_a_short_piece_of_a_moved_kerb_is_wrong_and_the_rest_is_not() -> None:
    change = MapChange("reshaped", "boundary", "b", (0, 0), after=(np.array([(0.0, 0.0), (20.0, 0.0)]),))
    index = ChangeIndex([change, replace(change, operation="removed")])
    lines = [
        np.array([(15.0, 0.1), (60.0, 0.1)]),
        np.array([(19.0, 0.1), (60.0, 0.1)]),
        np.array([(0.0, 1.0), (20.0, 1.0)]),
    ]
    assert index.contradicted(lines, ["boundary"] * 3).tolist() == [True, False, False]
    assert not index.contradicted(lines, ["divider"] * 3).any() and not index.contradicted([], []).any()
