"""Real maps and real drives; what the vehicle sees is simulated from the true map."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mapstack.datasets.example_drives import example_drives
from mapstack.datasets.trajectories import read_argoverse2_trajectory, read_ego_track
from mapstack.errors import DataError
from mapstack.evaluation.map_alignment import AlignmentTrial, align_drive, planar_errors
from mapstack.geometry.se3 import make_transform, rotation_z
from mapstack.maps import MapPatch, load_argoverse2, load_geojson
from mapstack.maps.detections import DetectionNoise, simulate_detections


def test_errors_are_along_and_across_the_true_heading() -> None:
    true = make_transform(rotation_z(np.pi / 2), np.array([10.0, 20.0, 0.0]))[None]
    found = make_transform(rotation_z(np.pi / 2 + 0.1), np.array([9.0, 23.0, 0.0]))[None]
    expected = [[np.sqrt(10), 3.0, 1.0, np.degrees(0.1)]]
    np.testing.assert_allclose(planar_errors(found, true), expected)


def patch(count: int) -> MapPatch:
    lines = [np.array([[-20.0, y], [20.0, y]]) for y in np.linspace(-10, 10, count)]
    labels, closed = np.zeros(count, np.int64), np.zeros(count, bool)
    return MapPatch(lines, labels, closed, ("divider",), {})


def test_detections_without_noise_are_the_lines() -> None:
    points, labels = simulate_detections(patch(3), DetectionNoise(0, 1, 0, 0, 0), np.random.default_rng(0))
    assert points.shape == (123, 2) and (labels == 0).all()
    np.testing.assert_allclose(points[:41], np.stack([np.arange(-20.0, 21), np.full(41, -10.0)], 1))
    assert simulate_detections(patch(0), DetectionNoise(), np.random.default_rng(0))[0].shape == (0, 2)


def test_detections_are_missed_cut_and_invented_as_often_as_stated() -> None:
    rng, crowd = np.random.default_rng(0), patch(2000)
    points, _ = simulate_detections(crowd, DetectionNoise(0.3, 1, 0, 0, 0), rng)
    assert len(points) / (2000 * 41) == pytest.approx(0.7, abs=0.03)
    points, _ = simulate_detections(crowd, DetectionNoise(0, 0.5, 0, 0, 0), rng)
    assert len(points) / (2000 * 41) == pytest.approx(0.75, abs=0.03)
    points, _ = simulate_detections(crowd, DetectionNoise(1, 1, 0, 0, 0.1), rng)
    assert len(points) / (2000 * 41) == pytest.approx(0.1, abs=0.02)
    points, _ = simulate_detections(patch(1), DetectionNoise(0, 1, 0.2, 0, 0), rng)
    shifts = points - np.stack([np.arange(-20.0, 21), np.full(41, -10.0)], 1)
    np.testing.assert_allclose(shifts, shifts[:1].repeat(41, 0))


@pytest.mark.shared
def test_a_real_map_takes_most_of_the_error_away(shared: Path) -> None:
    folder = shared / "data" / "nuscenes_maps"
    times_s, poses = read_ego_track(folder / "scene-0061.ego.json")
    assert (times_s[10], poses.shape) == (1.0, (191, 4, 4))
    result = align_drive(load_geojson(folder / "scene-0061.geojson"), poses[::30], times_s[::30], AlignmentTrial())
    before, after, joined = (
        np.median(planar_errors(result[stage], result["true"]), axis=0) for stage in ("reported", "aligned", "fused")
    )
    assert before[0] > 1.5
    assert after[0] < 0.5 and after[3] < 0.4
    assert joined[0] < 0.5


@pytest.mark.shared
def test_streets_tell_the_heading_of_a_real_drive(shared: Path) -> None:
    drive = next(example_drives(shared / "data", "scene-0655"))
    rows = np.arange(0, 160, 20)
    poses, times_s = drive.world_from_ego[rows], drive.times_s[rows]
    result = align_drive(drive.vector_map, poses, times_s, AlignmentTrial(), 2, drive.streets())
    before, after = (np.median(planar_errors(result[stage], result["true"])[:, 3]) for stage in ("reported", "aligned"))
    assert after < 0.6 * before
    with pytest.raises(DataError, match="no drive 'nowhere'; it has scene-0061"):
        next(example_drives(shared / "data", "nowhere"))
    with pytest.raises(DataError, match="no maps with drives"):
        next(example_drives(shared))


@pytest.mark.shared
def test_without_detections_the_reported_pose_stays(shared: Path) -> None:
    log = sorted((shared / "data" / "argoverse2" / "sensor" / "val").iterdir())[0]
    times_s, poses = read_argoverse2_trajectory(log)
    assert len(poses) == 2706 and (np.diff(times_s) > 0).all()
    blind = replace(AlignmentTrial(), detections=DetectionNoise(miss=1.0, invented=0.0))
    result = align_drive(load_argoverse2(log), poses[:600:300], times_s[:600:300], blind)
    np.testing.assert_allclose(result["aligned"], result["reported"], atol=1e-9)


def test_broken_trajectories_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"city_SE3_egovehicle\.feather is missing"):
        read_argoverse2_trajectory(tmp_path)
    (tmp_path / "x.ego.json").write_text('{"position": [[0, 0]]}')
    with pytest.raises(DataError, match=r"x\.ego\.json: no readable ego track"):
        read_ego_track(tmp_path / "x.ego.json")
