"""The tools for priors on real recordings and on the town, and the numbers that docs/PRIORS.md states."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import shapely

from mapstack.datasets.index import read_index
from mapstack.errors import DataError
from mapstack.evaluation import write_submission
from mapstack.geometry.geodesy import NUSCENES_ORIGINS, utm_from_wgs84, utm_zone
from mapstack.maps import load_argoverse2, load_geojson, load_osm
from mapstack.maps.drives import DriveStore
from mapstack.maps.osm import world_from_wgs84
from mapstack.maps.osm.extract import build_map
from mapstack.maps.osm.shapes import read_shapes
from mapstack.maps.placement import drivable_surface, measure_placement
from mapstack.maps.prior_lines import PriorLines

ROOT = Path(__file__).parents[1]
LOGS = {"7fab2350-7eaf-3b7e-a39d-6937a4c1bede": (0.64, 1.0), "adcf7d18-0510-35b0-a2fa-b4cea13a6d76": (2.11, 1.0)}


def run_tool(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> None:
    path = ROOT / "tools" / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    runpy.run_path(str(path), run_name="__main__")


def real_drive(shared: Path, scene: str) -> tuple[shapely.Geometry, np.ndarray]:
    """The road surface and the ego track of a real nuScenes scene."""
    maps = shared / "data/nuscenes_maps"
    track = np.array(json.loads((maps / f"scene-{scene}.ego.json").read_text())["position"])
    return drivable_surface(load_geojson(maps / f"scene-{scene}.geojson")), track


def test_streets_lie_on_the_nuscenes_keyframes_drive(shared: Path) -> None:
    surface, track = real_drive(shared, "0061")
    streets = load_osm(shared / "data/osm/singapore-onenorth.shp", "singapore-onenorth")
    found = measure_placement(PriorLines.from_streets(streets), track, surface)
    assert found.median_m == pytest.approx(0.99, abs=0.02) and found.max_m < 3.0
    assert found.share_inside == pytest.approx(0.864, abs=0.005) and found.num_samples > 400


@pytest.mark.parametrize(
    ("scene", "location", "median"), [("0061", "singapore-onenorth", 2.03), ("0655", "boston-seaport", 23.5)]
)
def test_utm_less_an_origin_puts_the_streets_beside_the_road(
    shared: Path, scene: str, location: str, median: float
) -> None:
    """What others do; the tangent plane gives 0.99 m and 1.50 m."""
    surface, track = real_drive(shared, scene)
    origin = np.array(NUSCENES_ORIGINS[location])
    zone = utm_zone(origin)
    extract = read_shapes(shared / "data/osm" / f"{location}.shp")
    streets = build_map(extract, lambda points: utm_from_wgs84(points, zone) - utm_from_wgs84(origin, zone))
    found = measure_placement(PriorLines.from_streets(streets), track, surface)
    assert found.median_m == pytest.approx(median, abs=0.1) and found.share_inside < 0.75


@pytest.mark.parametrize("log", LOGS)
def test_streets_lie_on_argoverse_drives(shared: Path, log: str) -> None:
    from av2.utils.io import read_city_SE3_ego

    folder = shared / "data/argoverse2/sensor/val" / log
    track = np.array([pose.translation[:2] for pose in read_city_SE3_ego(folder).values()])[::10]
    streets = load_osm(shared / "data/osm/argoverse2-PIT.city.geojson", "PIT", in_world=True)
    found = measure_placement(PriorLines.from_streets(streets), track, drivable_surface(load_argoverse2(folder)))
    median, inside = LOGS[log]
    assert found.median_m == pytest.approx(median, abs=0.02) and found.share_inside == pytest.approx(inside, abs=0.005)


def test_wrong_coordinates_are_told_by_their_distance_from_the_track(shared: Path) -> None:
    _, track = real_drive(shared, "0061")
    path = shared / "data/osm/singapore-onenorth.shp"
    other_place = PriorLines.from_streets(load_osm(path, "singapore-queenstown"))
    degrees = PriorLines.from_streets(build_map(read_shapes(path), lambda points: points * 1.0))
    swapped = build_map(read_shapes(path), lambda points: world_from_wgs84("singapore-onenorth")(points[:, ::-1]))
    for wrong in (other_place, degrees, PriorLines.from_streets(swapped)):
        with pytest.raises(DataError, match=r"m from the ego track .*wrong coordinates or another place"):
            wrong.require_near(track, 50.0)
    PriorLines.from_streets(load_osm(path, "singapore-onenorth")).require_near(track, 50.0)


def predictions(path: Path, index_path: Path, *, with_scores: bool = True) -> None:
    """One line a frame, straight ahead, and one that only every other frame sees."""

    def entries():
        index = read_index(index_path)
        for row in range(len(index)):
            lines = [[[-20.0, 1.5], [20.0, 1.5]], [[-5.0, -8.0], [5.0, -8.0]]][: 2 - row % 2]
            entry = {"vectors": lines, "labels": [0, 2][: len(lines)]}
            yield index.frame(row)["token"], entry | ({"scores": [0.9, 0.4][: len(lines)]} if with_scores else {})

    write_submission(path, entries(), {"classes": ["divider", "ped_crossing", "boundary"]})


def test_a_store_is_built_from_predictions_alone(
    town_index: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The index lies where no map, no image and no truth is: the tool cannot have looked at any."""
    alone = tmp_path / "alone/val.parquet"
    alone.parent.mkdir()
    shutil.copy(town_index["val"], alone)
    predictions(tmp_path / "predictions.json", alone)
    run_tool(
        monkeypatch, "build_drive_map", str(tmp_path / "predictions.json"), str(alone), "--out", str(tmp_path / "store")
    )
    index = read_index(alone)
    scene, frame = index.column("scene")[0], index.frame(0)
    assert f"{scene}: 6 frames" in capsys.readouterr().out
    store = DriveStore(tmp_path / "store")
    ground = shapely.Point(frame["world_from_ego"][:2, 3]).buffer(10)
    later = frame["timestamp_ns"] + 10**12
    assert store.query(frame["location"], ground, drive=scene, timestamp_ns=later) is None, "never the same drive"
    prior = store.query(frame["location"], ground, drive="next", timestamp_ns=later)
    line = frame["world_from_ego"][:2, :2] @ [10.0, 1.5] + frame["world_from_ego"][:2, 3]
    assert prior.distance_m(line[None])[0] < 1.5 and prior.confidence.max() > 0.3


def test_truth_is_refused_as_a_drives_prediction(
    town_index: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions(tmp_path / "gt.json", town_index["val"], with_scores=False)
    arguments = [str(tmp_path / "gt.json"), str(town_index["val"]), "--out", str(tmp_path / "store")]
    with pytest.raises(SystemExit, match="has no scores: it is truth"):
        run_tool(monkeypatch, "build_drive_map", *arguments)
    predictions(tmp_path / "predictions.json", town_index["val"])
    with pytest.raises(SystemExit, match="share no frame"):
        arguments = [str(tmp_path / "predictions.json"), str(town_index["train"]), "--out", str(tmp_path / "store")]
        run_tool(monkeypatch, "build_drive_map", *arguments)


def test_the_town_is_inspected_and_drawn(
    town, town_index: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["--index", str(town_index["val"]), "--osm", str(town.osm), "--out", str(tmp_path)]
    run_tool(monkeypatch, "inspect_prior", *arguments)
    (row,) = capsys.readouterr().out.splitlines()[1:]
    name, median, *_, inside = row.split()
    assert float(median) < 12.0 and float(inside.rstrip("%")) > 60.0
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_todays_map_scored_as_a_prediction_is_perfect_and_an_aged_one_is_not(
    town_index: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plumbing from map to score, and what a model with an aged map must beat."""
    config = tmp_path / "configs/town/prior.py"
    config.parent.mkdir(parents=True)
    base = ROOT / "configs/town/maptr_lss-pillars_60x30_town.py"
    scores = []
    for strength in (0.0, 1.0):
        prior = f"dict(type='LoadPriors', priors=[dict(type='HDMapPrior', strength={strength})], grid=_base_.grid)"
        dataset = f"dict(ann_file={str(town_index['val'])!r}, pipeline=_base_.truth + [{prior}])"
        config.write_text(f"_base_ = [{str(base)!r}]\ntest_dataloader = dict(dataset={dataset})\n")
        run_tool(monkeypatch, "score_prior", str(config), "--metrics", str(tmp_path / "scores.json"))
        scores.append(json.loads((tmp_path / "scores.json").read_text()))
    assert scores[0]["maptr/mAP"] == pytest.approx(1.0, abs=1e-6)
    assert 0.2 < scores[1]["maptr/mAP"] < 0.95
