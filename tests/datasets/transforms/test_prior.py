"""Priors of a frame: placed like truth, mirrored like truth, missing, empty, or thousands long."""

from pathlib import Path

import numpy as np
import pytest
import shapely
import torch
from mmengine.dataset import pseudo_collate

from mapstack.datasets.transforms import (
    AugmentBEV,
    DisturbPose,
    DrivePrior,
    HDMapPrior,
    LoadPriors,
    PackMapInputs,
    StreetPrior,
    VectorizeMap,
    prior_sources,
)
from mapstack.errors import ConfigError, DataError
from mapstack.geometry.se3 import yaw_rad
from mapstack.maps import CLASSES, MapLayer, VectorMap
from mapstack.maps.drive_merge import Merged
from mapstack.maps.drives import DriveMap, DriveStore
from mapstack.maps.prior_lines import PRIOR_CLASSES, PRIOR_SOURCES, PRIOR_TAGS
from mapstack.maps.stale import Ageing
from mapstack.models.preprocessor import MapDataPreprocessor
from mapstack.structures import PriorMap, batch_priors
from tests.maps.osm_writer import ORIGIN, write_osm

from .conftest import WORLD_FROM_EGO, to_world

GRID = dict(pc_range=(-30, -15, -5, 30, 15, 3), cell_m=0.5)


@pytest.fixture
def current(small_map: VectorMap, monkeypatch: pytest.MonkeyPatch) -> HDMapPrior:
    """Today's map as a prior."""
    prior_sources._hd_map.cache_clear()
    monkeypatch.setattr(prior_sources, "cached_map", lambda kind, root, name: small_map)
    return HDMapPrior(classes=CLASSES)


@pytest.fixture
def streets(tmp_path: Path) -> str:
    """A one-way street along the ego's x axis and a bridge across it."""
    ways = [
        (to_world([(-60, 0), (60, 0)]).tolist(), {"highway": "primary", "oneway": "yes", "lanes": "3"}),
        (to_world([(10, -60), (10, 60)]).tolist(), {"highway": "tertiary_link", "bridge": "yes"}),
    ]
    return str(write_osm(tmp_path / "a.osm", ways))


def rows(prior: PriorMap) -> set[tuple]:
    return named_points(PRIOR_CLASSES, prior.labels, prior.points)


def named_points(classes: tuple[str, ...], labels: torch.Tensor, points: torch.Tensor) -> set[tuple]:
    pairs = zip(labels.tolist(), points.flatten(1).tolist(), strict=True)
    return {(classes[label], *np.round(flat, 3).tolist()) for label, flat in pairs}


def load(frame: dict, *steps: object) -> dict:
    for step in steps:
        frame = step(frame)
    return frame


@pytest.mark.parametrize("augment", [
    {}, {"flip_y_prob": 1.0}, {"flip_x_prob": 1.0}, {"rotate_deg": 30.0}, {"scale": (0.8, 1.3)},
    {"flip_x_prob": 1.0, "flip_y_prob": 0.5, "rotate_deg": 30.0, "scale": (0.8, 1.3)},
])  # fmt: skip
@pytest.mark.parametrize("seed", [1, 2])
def test_todays_map_as_prior_is_the_truth_whatever_the_augmentation(
    frame: dict, current: HDMapPrior, augment: dict, seed: int
) -> None:
    frame["seed"] = seed
    results = load(frame, AugmentBEV(**augment), VectorizeMap(GRID, CLASSES), LoadPriors([current], GRID))
    gt, prior = results["gt"], results["prior"]
    truth = named_points(CLASSES, gt.labels, gt.points)
    assert len(truth) >= 4 and rows(prior) == truth
    assert prior.closed.sum() == gt.closed.sum() and prior.directed.sum() == gt.directed.sum()
    assert (prior.changed == 0).all() and (prior.confidence == 1).all() and prior.available == ("hd",)
    elements = prior.as_elements(CLASSES)
    assert sorted(elements.labels.tolist()) == sorted(gt.labels.tolist()) and (elements.scores == 1).all()


def test_streets_carry_class_source_and_tags(frame: dict, streets: str) -> None:
    prior = load(frame, LoadPriors([StreetPrior(streets, place=ORIGIN)], GRID, num_points=5))["prior"]
    one, two = (int((prior.labels == PRIOR_CLASSES.index(name)).nonzero()) for name in ("primary", "tertiary"))
    assert prior.points.shape == (2, 5, 2) and (prior.sources == PRIOR_SOURCES.index("sd")).all()
    torch.testing.assert_close(
        prior.points[one], torch.tensor([[x, 0.0] for x in (-30.0, -15, 0, 15, 30)]), atol=0.02, rtol=0
    )
    tags = {name: prior.tags[:, k].tolist() for k, name in enumerate(PRIOR_TAGS)}
    assert (tags["lanes"][one], tags["oneway"][one], tags["link"][two], tags["bridge"][two]) == (3, 1, 1, 1)
    assert prior.directed[one] and not prior.directed[two] and (prior.changed == -1).all()


def test_a_mirror_keeps_the_driving_direction_of_one_way_streets(frame: dict, streets: str) -> None:
    prior = load(frame, AugmentBEV(flip_x_prob=1.0), LoadPriors([StreetPrior(streets, place=ORIGIN)], GRID))["prior"]
    points = prior.points[prior.directed][0]
    assert points[0, 0] > 29.9 and points[-1, 0] < -29.9, "what drove forward drives backward in the mirror"


def test_priors_are_placed_by_the_reported_pose_and_truth_by_the_true_one(frame: dict, current: HDMapPrior) -> None:
    disturb = DisturbPose(sigma_m=2.0, heading_deg=0.0)
    frame["scene_times_ns"] = np.array([1])
    plain = load(dict(frame), LoadPriors([current], GRID))["prior"]
    results = load(dict(frame), disturb, VectorizeMap(GRID, CLASSES), LoadPriors([current], GRID, margin_m=10.0))
    error = results["pose_error"]
    assert np.linalg.norm(error[:2]) > 0.1 and error[2] == 0.0
    ego_error = error[:2] @ WORLD_FROM_EGO[:2, :2]
    ring, moved = (p.points[p.labels == PRIOR_CLASSES.index("boundary")][0] for p in (plain, results["prior"]))
    np.testing.assert_allclose((moved - ring).numpy(), np.tile(-ego_error, (20, 1)), atol=1e-3)
    assert len(results["gt"]) == len(load(dict(frame), VectorizeMap(GRID, CLASSES))["gt"])


@pytest.mark.parametrize("augment", [
    {}, {"flip_y_prob": 1.0}, {"rotate_deg": 30.0}, {"flip_x_prob": 1.0, "rotate_deg": 30.0, "scale": (0.8, 1.3)},
])  # fmt: skip
def test_bev_from_prior_moves_a_displaced_prior_to_its_place(frame: dict, current: HDMapPrior, augment: dict) -> None:
    frame |= {"seed": 3, "points": np.zeros((1, 5), np.float32)}
    wide = LoadPriors([current], GRID, margin_m=99.9)  # whole elements, wherever the pose is; up to whole cells
    assert wide.grid.size_m == (260.0, 230.0)
    disturb = DisturbPose(sigma_m=2.0, heading_deg=5.0, redraw=True)
    packed = []
    for steps in ((wide,), (disturb, wide)):
        results = load({key: value for key, value in frame.items() if key != "points"}, AugmentBEV(**augment), *steps)
        packed.append(PackMapInputs()(results | {"points": frame["points"]}))
    (there, lies), sample = (item["inputs"]["prior"].points for item in packed), packed[1]["data_samples"]
    assert "bev_from_prior" not in packed[0]["data_samples"] and len(lies) > 3
    assert (there - lies).norm(dim=-1).mean() > 0.5
    motion = torch.from_numpy(sample.bev_from_prior[:2]).float()
    moved = lies @ motion[:, :2].T + motion[:, 3]
    assert (moved - there).abs().max() < 2e-3
    turn = motion[:, :2]
    assert (turn @ turn.T - torch.eye(2)).abs().max() < 1e-5 and turn.det() > 0.99, "rigid, mirrored or not"


def test_a_drives_pose_error_walks_and_is_the_same_for_every_reader() -> None:
    times = (np.arange(60) * 5e8).astype(np.int64)

    def errors(order: list[int], scene: str = "s0", **options: object) -> np.ndarray:
        disturb, found = DisturbPose(sigma_m=2.0, heading_deg=2.0, **options), {}
        for i in order:
            results = {"scene": scene, "timestamp_ns": times[i], "scene_times_ns": times, "seed": i}
            found[i] = disturb({**results, "world_from_ego": np.eye(4)})["pose_error"]
        return np.stack([found[i] for i in sorted(found)])

    first, second = errors(list(range(60))), errors(list(range(59, -1, -1)))
    np.testing.assert_array_equal(first, second)
    assert np.abs(np.diff(first[:, 0])).mean() < 1.5 < 6 * first[:, 0].std() and not np.allclose(
        first, errors([0], "s1")[0]
    )
    redrawn = errors(list(range(60)), redraw=True)
    assert 1.0 < redrawn[:, :2].std() < 3.0 and np.degrees(redrawn[:, 2]).std() == pytest.approx(2.0, rel=0.4)
    reported = DisturbPose(0.0, 90.0, redraw=True)({"seed": 3, "world_from_ego": np.eye(4)})
    assert yaw_rad(reported["reported_world_from_ego"]) == pytest.approx(
        (reported["pose_error"][2] + np.pi) % (2 * np.pi) - np.pi
    )


def test_a_prior_may_be_missing_empty_or_dropped(frame: dict, current: HDMapPrior, streets: str) -> None:
    both = [StreetPrior({"elsewhere": streets}), current]
    assert load(dict(frame), LoadPriors(both, GRID))["prior"].available == ("hd",)
    none = load({**frame, "map_kind": None}, LoadPriors(both, GRID, num_dims=3))["prior"]
    assert len(none) == 0 and none.points.shape == (0, 20, 3) and none.available == ()
    far = frame["world_from_ego"].copy()
    far[0, 3] += 300.0
    empty = load({**frame, "world_from_ego": far}, LoadPriors([current], GRID))["prior"]
    assert len(empty) == 0 and empty.available == ("hd",)
    dropped = [
        len(load({**frame, "seed": seed}, LoadPriors([current], GRID, drop_prob=0.5))["prior"]) for seed in range(40)
    ]
    assert 8 <= dropped.count(0) <= 32 and max(dropped) == len(load(dict(frame), LoadPriors([current], GRID))["prior"])


def test_the_prior_of_another_place_is_another_prior(frame: dict, current: HDMapPrior) -> None:
    here, there = (
        load(dict(frame), LoadPriors([current], GRID, displace_m=d))["prior"] for d in ((0, 0), (20.0, -15.0))
    )
    assert rows(here) != rows(there)


def test_a_map_that_lies_elsewhere_is_an_error_with_the_frame_and_the_distance(frame: dict, streets: str) -> None:
    wrong = StreetPrior(streets, place=(ORIGIN[0] + 1.0, ORIGIN[1]))  # a degree: the wrong origin
    with pytest.raises(
        DataError, match=r"frame t0: .*a\.osm: the nearest of its 2 elements is 7\d,\d{3} m .*wrong coord"
    ):
        load(frame, LoadPriors([wrong], GRID))
    swapped = StreetPrior(streets, place=(ORIGIN[1], ORIGIN[0]))
    with pytest.raises(DataError, match="lon comes before lat"):
        load(frame, LoadPriors([swapped], GRID))
    unchecked = StreetPrior(streets, place=(ORIGIN[0] + 1.0, ORIGIN[1]), max_distance_m=None)
    assert len(load(frame, LoadPriors([unchecked], GRID))["prior"]) == 0


def test_ageing_is_the_same_for_every_frame_and_many_pasts_are_told_by_the_seed(
    frame: dict, current: HDMapPrior
) -> None:
    old = LoadPriors([HDMapPrior(strength=2.0)], GRID)
    assert rows(load({**frame, "seed": 1}, old)["prior"]) == rows(load({**frame, "seed": 2}, old)["prior"])
    many = HDMapPrior(strength=2.0, pasts=8)
    assert len({frozenset(rows(load({**frame, "seed": s}, LoadPriors([many], GRID))["prior"])) for s in range(12)}) > 2
    spread = HDMapPrior(strength=(0.0, 4.0), pasts=3)
    assert [ageing == Ageing.at(value) for ageing, value in zip(spread.ageings, (0.0, 2.0, 4.0), strict=True)] == [
        True
    ] * 3
    only = load(dict(frame), LoadPriors([HDMapPrior(ageing={"noise_m": 0.1}, classes=("boundary",))], GRID))["prior"]
    assert set(only.labels.tolist()) == {PRIOR_CLASSES.index("boundary")}


def test_earlier_drives_are_a_prior_and_the_own_drive_is_none(frame: dict, tmp_path: Path) -> None:
    line = to_world([(-20, 2), (20, 2)])
    merged = Merged([line], ["divider"], np.array([0.7]), np.array([3]))
    store = DriveStore(tmp_path / "store", create=True)
    store.write(DriveMap("s0", "here", 0, 1, merged, shapely.LineString(line).buffer(30)))
    own = {**frame, "timestamp_ns": 10**12}
    transform = LoadPriors([DrivePrior(str(tmp_path / "store"))], GRID, num_points=2)
    assert load(own, transform)["prior"].available == ()
    prior = load({**own, "scene": "s1"}, transform)["prior"]
    assert prior.available == ("drives",) and prior.confidence.tolist() == pytest.approx([0.7])
    assert (prior.sources == PRIOR_SOURCES.index("drive")).all()
    torch.testing.assert_close(
        prior.points.sort(1).values, torch.tensor([[[-20.0, 2.0], [20.0, 2.0]]]), atol=1e-3, rtol=0
    )


def test_thousands_of_elements_and_none_make_one_batch(frame: dict) -> None:
    xy = np.random.default_rng(0).uniform((-25, -12), (25, 12), (3000, 2))
    lines = [to_world([point, point + [3.0, 1.0]]) for point in xy]
    crowded = VectorMap({"lane_divider": MapLayer.from_lines(lines)})
    many = load(dict(frame), LoadPriors([_Fixed(crowded)], GRID, num_points=4))["prior"]
    none = PriorMap.empty(4)
    batch = batch_priors([none, many, many.take(torch.arange(7))])
    assert batch.points.shape == (3, len(many), 4, 2) and len(many) == 3000
    assert batch.valid.sum(1).tolist() == [0, 3000, 7] and (batch.points[0] == 0).all()
    torch.testing.assert_close(batch.frame(2).points, many.points[:7])
    assert batch_priors([none, none]).points.shape == (2, 0, 4, 2)
    assert batch_priors([none], min_elements=1).valid.tolist() == [[False]]
    with pytest.raises(ValueError, match="same points and dimensions"):
        batch_priors([none, PriorMap.empty(5)])


class _Fixed:
    """A prior from layers in memory."""

    name, source, max_distance_m = "fixed", "hd", None

    def __init__(self, vector_map: VectorMap) -> None:
        self.vector_map = vector_map

    def lines(self, *_: object) -> object:
        from mapstack.maps.prior_lines import PriorLines

        return PriorLines.from_hd_map(self.vector_map)


def test_priors_pass_packing_collation_and_the_preprocessor(frame: dict, current: HDMapPrior) -> None:
    frames = []
    for map_kind in ("geojson", None):
        results = {**frame, "map_kind": map_kind, "points": np.zeros((1, 5), np.float32)}
        results = LoadPriors([current], GRID)(results)
        frames.append(PackMapInputs()(VectorizeMap(GRID, CLASSES, optional=True)(results)))
    data = pseudo_collate(frames)
    assert [len(prior) for prior in data["inputs"]["prior"]] == [len(frames[0]["inputs"]["prior"]), 0]
    assert MapDataPreprocessor()(data)["inputs"]["batch_size"] == 2


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LoadPriors([HDMapPrior(), HDMapPrior()], GRID), "different names"),
        (lambda: LoadPriors([], GRID, drop_prob=2.0), r"\[0, 1\]"),
        (lambda: HDMapPrior(classes=("street",)), "classes must be of"),
        (lambda: HDMapPrior(strength=1.0, ageing={}), "strength or ageing"),
        (lambda: HDMapPrior(strength=(0.0, 2.0)), "with pasts > 1"),
        (lambda: HDMapPrior(strength=(2.0, 0.0), pasts=4), "least, most"),
    ],
)
def test_impossible_settings_are_refused(build: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


def test_a_pose_disturbed_after_the_priors_is_refused(frame: dict, current: HDMapPrior) -> None:
    with pytest.raises(ConfigError, match="before LoadPriors"):
        load(frame, LoadPriors([current], GRID), DisturbPose(1.0, 1.0, redraw=True))
