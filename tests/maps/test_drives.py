"""Maps of earlier drives: merged from repeated sight, kept in tiles, never given to the drive that made them."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from mapstack.errors import DataError
from mapstack.geometry.polyline import length_m
from mapstack.maps.drive_merge import Merged, Observation, merge
from mapstack.maps.drives import DriveMap, DriveStore

SECOND_NS = 1_000_000_000
ROAD = shapely.box(-30, -15, 130, 15)


def box_at(x: float) -> shapely.Polygon:
    return shapely.box(x - 30, -15, x + 30, 15)


def frames(lines: dict[str, list[np.ndarray]], noise_m: float, seed: int = 0, count: int = 20) -> list[Observation]:
    """What a car that drives along x sees of lines, each time a little wrong, cut to its patch, in any direction."""
    rng, seen = np.random.default_rng(seed), []
    for x in np.linspace(0.0, 100.0, count):
        found, names = [], []
        for name, truths in lines.items():
            for truth in truths:
                part = shapely.intersection(shapely.LineString(truth), box_at(x))
                if part.length < 1.0 or not isinstance(part, shapely.LineString):
                    continue
                points = shapely.get_coordinates(shapely.segmentize(part, 3.0))
                points = points + rng.normal(0, noise_m, 2) + rng.normal(0, noise_m / 3, points.shape)
                found.append(points[:: rng.choice([-1, 1])])
                names.append(name)
        seen.append(Observation(found, names, rng.uniform(0.6, 1.0, len(names)), box_at(x), np.array([x, 0.0])))
    return seen


def curve(y: float) -> np.ndarray:
    x = np.linspace(-30, 130, 80)
    return np.column_stack([x, y + 3.0 * np.sin(x / 40.0)])


def test_repeated_sight_of_a_line_becomes_one_better_line() -> None:
    truth = curve(0.0)
    merged = merge(frames({"divider": [truth]}, noise_m=0.3))
    (line,) = merged.lines
    off = shapely.distance(shapely.points(line), shapely.LineString(truth))
    assert length_m(line) == pytest.approx(length_m(truth), abs=4.0)
    assert np.sqrt((off[5:-5] ** 2).mean()) < 0.2, "0.3 m a sight"
    assert merged.confidence[0] > 0.6 and merged.views[0] > 8


def test_parallel_lines_and_other_classes_stay_apart() -> None:
    truths = {"divider": [curve(0.0), curve(3.3)], "boundary": [curve(0.8)]}
    merged = merge(frames(truths, noise_m=0.15))
    assert sorted(merged.names) == ["boundary", "divider", "divider"]
    for name, lines in truths.items():
        for truth in lines:
            near = [
                shapely.hausdorff_distance(shapely.LineString(truth), shapely.LineString(line)) for line in merged.lines
            ]
            assert min(near) < 2.0, name


def test_lines_that_cross_are_not_mixed() -> None:
    across = np.array([(50.0, -14.0), (50.0, 14.0)])
    merged = merge(frames({"boundary": [np.array([(-30.0, 0.0), (130.0, 0.0)]), across]}, noise_m=0.1))
    spans = sorted(np.ptp(line, axis=0).round().tolist() for line in merged.lines)
    assert len(spans) == 2 and spans[0][1] > 20 and spans[1][0] > 150


def test_what_was_seen_once_of_twenty_times_is_not_believed() -> None:
    seen = frames({"divider": [curve(0.0)]}, noise_m=0.1)
    phantom = Observation([curve(8.0)[20:40]], ["divider"], np.array([0.9]), box_at(30.0), np.array([30.0, 0.0]))
    merged = merge([*seen[:6], phantom, *seen[6:]])
    assert len(merged.lines) == 1
    kept = merge([*seen[:6], phantom, *seen[6:]], min_confidence=0.0)
    assert sorted((kept.confidence > 0.3).tolist()) == [False, True]


def test_crossings_are_merged_as_areas() -> None:
    rng, ring = np.random.default_rng(0), np.array([(40.0, -5), (44, -5), (44, 5), (40, 5), (40, -5)])
    names, scores = ["ped_crossing"] * 2, np.array([0.8, 0.7])
    seen = [
        Observation([ring + rng.normal(0, 0.2, 2), ring + [30, 0]], names, scores, ROAD, np.array([x, 0.0]))
        for x in np.linspace(0, 60, 10)
    ]
    merged = merge(seen)
    areas = [shapely.Polygon(line) for line in merged.lines]
    assert len(areas) == 2 and all(area.area == pytest.approx(40.0, abs=1.0) for area in areas)
    np.testing.assert_allclose(sorted(merged.confidence), [0.7, 0.8], atol=1e-9)


def test_nothing_seen_is_an_empty_map() -> None:
    merged = merge([Observation([], [], np.zeros(0), box_at(0.0), np.zeros(2))])
    assert not merged.lines and not len(merged.confidence)


def drive(name: str, start_s: int, y: float = 0.0, location: str = "here") -> DriveMap:
    lines = [np.array([(-20.0, y), (180.0, y)]), np.array([(40.0, -5), (44, -5), (44, 5), (40, 5), (40, -5)])]
    merged = Merged(lines, ["divider", "ped_crossing"], np.array([0.8, 0.6]), np.array([5, 5]))
    times = start_s * SECOND_NS, (start_s + 20) * SECOND_NS
    return DriveMap(name, location, *times, merged, shapely.box(-30, -20, 190, 20))


def ask(store: DriveStore, name: str, at_s: float, **options: object):
    return store.query("here", box_at(60.0), drive=name, timestamp_ns=int(at_s * SECOND_NS), **options)


def test_a_drive_sees_earlier_drives_and_never_itself_or_later_ones(tmp_path: Path) -> None:
    store = DriveStore(tmp_path / "store", create=True)
    for name, start in (("first", 0), ("second", 1000), ("third", 2000)):
        store.write(drive(name, start))
    assert ask(store, "first", 10) is None
    assert ask(store, "second", 1010) is not None and ask(store, "second", 1010).confidence.max() == pytest.approx(0.8)
    alone = DriveStore(tmp_path / "alone", create=True)
    alone.write(drive("second", 1000))
    assert ask(alone, "second", 5000) is None, "its own map, however late it asks"
    assert ask(alone, "other", 1010) is None, "a drive that has not ended"
    assert ask(alone, "other", 1060) is None and ask(alone, "other", 1081) is not None, "60 s are kept between them"
    assert ask(alone, "other", 1021, min_gap_s=0.0) is not None


def test_several_drives_are_merged_into_one_map(tmp_path: Path) -> None:
    store = DriveStore(tmp_path, create=True)
    for number, y in enumerate((-0.4, 0.0, 0.4)):
        store.write(drive(f"drive-{number}", 1000 * number, y))
    prior = ask(store, "now", 9000)
    assert len(prior) == 2 and prior.confidence.tolist() == pytest.approx([0.8, 0.6])
    line = next(shape for shape in prior.lines if isinstance(shape, shapely.LineString))
    assert np.abs(shapely.get_coordinates(line)[:, 1]).max() < 0.05 and line.length == pytest.approx(200.0, abs=0.5)


def test_a_place_where_an_earlier_drive_saw_nothing_is_known_to_be_empty(tmp_path: Path) -> None:
    store = DriveStore(tmp_path, create=True)
    store.write(DriveMap("first", "here", 0, 1, merge([]), shapely.box(-30, -20, 190, 20)))
    prior = ask(store, "now", 9000)
    assert prior is not None and len(prior) == 0
    assert store.query("here", box_at(5000.0), drive="now", timestamp_ns=9000 * SECOND_NS) is None


def test_locations_share_nothing(tmp_path: Path) -> None:
    store = DriveStore(tmp_path, create=True)
    store.write(drive("first", 0, location="there/../elsewhere"))
    assert ask(store, "now", 9000) is None and store.drives("there/../elsewhere") == ["first"]
    assert store.query("there/../elsewhere", box_at(0.0), drive="now", timestamp_ns=9000 * SECOND_NS) is not None


def test_a_drive_written_again_replaces_itself(tmp_path: Path) -> None:
    store, reader = DriveStore(tmp_path, create=True), DriveStore(tmp_path)
    store.write(drive("first", 0, y=0.0))
    assert shapely.get_coordinates(ask(reader, "now", 9000).lines[0])[0, 1] == 0.0
    short = Merged([np.array([(0.0, 2.0), (90.0, 2.0)])], ["divider"], np.array([0.5]), np.array([1]))
    store.write(replace(drive("first", 0), merged=short, coverage=shapely.box(0, -20, 90, 20)))
    again = ask(reader, "now", 9000)
    assert len(again) == 1 and shapely.get_coordinates(again.lines[0])[0, 1] == 2.0
    assert store.query("here", shapely.box(150, 0, 160, 1), drive="now", timestamp_ns=9000 * SECOND_NS) is None


def write_many(root: str, first: int) -> None:
    store = DriveStore(root, create=True)
    for number in range(first, first + 5):
        store.write(drive(f"drive-{number}", 1000 * number))
        store.write(drive("shared", 0))  # the same drive by every process


def test_several_processes_write_one_store(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(str(tmp_path / "store"), 5 * k)) for k in range(2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if (tmp_path / "store/store.json").is_file():
            DriveStore(tmp_path / "store")
            ask(DriveStore(tmp_path / "store"), "now", 10**6)  # reading meanwhile never meets half a file
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    store = DriveStore(tmp_path / "store")
    assert store.drives("here") == sorted([f"drive-{i}" for i in range(10)] + ["shared"])
    assert len(ask(store, "now", 10**6)) == 2
    assert not list((tmp_path / "store").rglob("*.partial"))


def test_folders_and_files_that_are_none_of_ours_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no store of drive maps; build one with tools/build_drive_map\.py"):
        DriveStore(tmp_path / "nowhere")
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="holds something that is no store"):
        DriveStore(tmp_path, create=True)
    store = DriveStore(tmp_path / "store", create=True)
    store.write(drive("first", 0))
    tile = next((tmp_path / "store").rglob("*.parquet"))
    tile.write_bytes(tile.read_bytes()[:100])
    with pytest.raises(DataError, match=r"first\.parquet: damaged tile"):
        store.query("here", ROAD.buffer(60), drive="now", timestamp_ns=9000 * SECOND_NS)
    (tmp_path / "store/store.json").write_text('{"version": 99, "tile_m": 1}')
    with pytest.raises(DataError, match="has version 99"):
        DriveStore(tmp_path / "store")
