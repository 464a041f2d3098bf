"""Places on maps without recordings: ground held out, crops that a seed repeats, points spoilt as asked."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mapstack.datasets.transforms import CropVectors, PackVectors, SpoilVectors
from mapstack.datasets.vector_crops import TILE_M, VectorCrops, held_out, places_along
from mapstack.errors import ConfigError
from mapstack.maps import MapLayer, VectorMap
from mapstack.maps.prior_lines import PriorLines
from mapstack.structures import PriorMap
from mapstack.structures.vector_data_sample import SPOILT

GRID = {"pc_range": (-30, -15, -5, 30, 15, 3), "cell_m": 0.3}


@pytest.fixture(scope="module")
def map_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dividers 3 km long, every 250 m, with a crossing on each."""
    lines = [np.array([[0.0, y], [3000.0, y + 40.0]]) for y in range(0, 3000, 250)]
    areas = [np.array([[900.0, y], [904.0, y], [904.0, y + 9], [900.0, y + 9]]) for y in range(0, 3000, 250)]
    layers = {"lane_divider": MapLayer.from_lines(lines), "ped_crossing": MapLayer.from_polygons(areas)}
    path = tmp_path_factory.mktemp("maps") / "map.geojson"
    VectorMap(layers, name="made up").to_geojson(path)
    return path


def crops(map_file: Path, part: str, **options: object) -> VectorCrops:
    cut = CropVectors(GRID, turn_deg=20.0, shift_m=5.0)
    return VectorCrops(
        [{"kind": "geojson", "root": str(map_file)}], [cut, SpoilVectors(), PackVectors()], part, **options
    )


def test_no_crop_of_one_part_shows_ground_of_the_other(map_file: Path) -> None:
    train, held = crops(map_file, "train"), crops(map_file, "held_out")
    reach = 2 * np.hypot(30, 15) + np.hypot(5, 5)  # of two crops, one of them shifted
    assert len(train) > 50 and len(held) > 50
    places = np.array([row["place"] for row in held.data_list])
    tiles = np.unique(np.floor(places / TILE_M), axis=0) * TILE_M
    for row in train.data_list:
        outside = np.maximum(np.maximum(tiles - row["place"], row["place"] - tiles - TILE_M), 0).max(1)
        assert outside.min() >= reach, "a training place within reach of a crop in a held-out tile"
    assert held_out(places).all() and not {r["token"] for r in train.data_list} & {r["token"] for r in held.data_list}


def test_a_crop_is_repeated_by_its_seed_and_no_other(map_file: Path) -> None:
    dataset = crops(map_file, "train", max_places=10)
    assert len(dataset) <= 10
    first, again, other = dataset[3, 7], dataset[3, 7], dataset[3, 8]
    assert torch.equal(first["data_samples"].given, again["data_samples"].given)
    assert not torch.equal(first["data_samples"].points, other["data_samples"].points)
    assert first["data_samples"].token == "made up#" + dataset.data_list[3]["token"].split("#")[1]
    assert first["inputs"]["prior"].points.shape[1:] == (20, 2)


def test_places_follow_lines_and_outlines() -> None:
    lines = PriorLines.from_hd_map(
        VectorMap(
            {"lane_divider": MapLayer.from_lines([np.array([[0.0, 0.0], [0.0, 40.0]]), np.array([[5.0, 0], [6, 0]])])}
        )
    ).lines
    places, headings = places_along(lines, spacing_m=10.0)
    np.testing.assert_allclose(places, [[0, 5], [0, 15], [0, 25], [0, 35], [5.5, 0]])
    np.testing.assert_allclose(headings, [np.pi / 2] * 4 + [0.0], atol=1e-9)


def many(count: int) -> PriorMap:
    nothing = torch.zeros(count, dtype=torch.long)
    flags = nothing.bool()
    return PriorMap(
        torch.randn(count, 20, 2),
        nothing,
        nothing,
        nothing.float(),
        torch.zeros(count, 5),
        flags,
        flags,
        nothing,
        nothing,
    )


def test_shares_are_spoilt_as_asked_and_the_rest_is_left() -> None:
    spoil = SpoilVectors(vector_share=0.2, point_share=0.1, hide_share=0.25, noise_m=2.0, max_vectors=2000)
    results = spoil({"prior": many(1500), "seed": 1, "token": "t"})
    points, given, spoilt = results["prior"].points, results["given"], results["spoilt"]
    share = torch.bincount(spoilt.flatten(), minlength=len(SPOILT)) / spoilt.numel()
    expected = {"kept": 0.72, "point_hidden": 0.02, "point_moved": 0.06, "vector_hidden": 0.05, "vector_moved": 0.15}
    for number, name in enumerate(SPOILT):
        assert float(share[number]) == pytest.approx(expected[name], abs=0.025), name
    moved = (spoilt == SPOILT.index("point_moved")) | (spoilt == SPOILT.index("vector_moved"))
    assert torch.equal(given[~moved], points[~moved])
    assert float((given - points)[moved].std()) == pytest.approx(2.0, rel=0.05)
    whole = spoilt >= SPOILT.index("vector_hidden")
    assert (whole.all(1) == whole.any(1)).all(), "a vector is spoilt whole or by points"
    assert len(SpoilVectors(max_vectors=60)({"prior": many(500), "seed": 1})["prior"]) == 60
    empty = SpoilVectors()({"prior": many(0), "seed": 1})
    assert empty["spoilt"].shape == (0, 20)


def test_what_cannot_be_is_refused(map_file: Path) -> None:
    with pytest.raises(ConfigError, match="part must be one of"):
        crops(map_file, "val")
    with pytest.raises(ConfigError, match=r"a map takes \['in_world', 'kind', 'name', 'root'\]"):
        VectorCrops([{"root": "x.geojson"}], [])
    with pytest.raises(ConfigError, match="shares must lie in"):
        SpoilVectors(point_share=1.5)
