import json
from pathlib import Path

import numpy as np
import pytest

from mapstack.datasets.transforms import DrawMap, VectorizeMap
from mapstack.datasets.transforms.truth import cached_map
from mapstack.errors import ConfigError, DataError
from mapstack.geometry import BEVGrid
from mapstack.maps import VectorMap

GRID = dict(pc_range=(-30, -15, -5, 30, 15, 3), cell_m=0.5)


def test_truth_has_points_vertices_and_rules(frame: dict, small_map: VectorMap) -> None:
    out = VectorizeMap(GRID, ("divider", "boundary"), num_points=7)(frame)
    assert out["gt"].points.shape == (3, 7, 2) and out["gt"].labels.tolist() == [0, 0, 1]
    assert out["gt"].closed.tolist() == [False, False, True] and len(out["gt"].vertices) == 3
    assert out["rules"]["divider"] == "maptrv2" and out["classes"] == ("divider", "boundary")
    assert out["grid"] == BEVGrid(**GRID)


def test_range_and_classes_are_options_not_preparation(frame: dict, small_map: VectorMap) -> None:
    wide = VectorizeMap(dict(pc_range=(-60, -30, -5, 60, 30, 3), cell_m=0.5), ("divider",))(frame)
    assert wide["gt"].points[..., 0].max() == pytest.approx(60.0)


def test_an_empty_patch_is_a_valid_frame(frame: dict, small_map: VectorMap) -> None:
    frame["world_from_ego"][0, 3] += 5000.0
    out = DrawMap(1)(VectorizeMap(GRID)(frame))
    assert out["gt"].points.shape == (0, 20, 2) and len(out["gt"].labels) == 0
    assert out["bev_mask"].shape == (3, 60, 120) and not out["bev_mask"].any()


def test_the_mask_is_drawn_where_the_elements_are(frame: dict, small_map: VectorMap) -> None:
    out = DrawMap(thickness=1)(VectorizeMap(GRID)(frame))
    row, col = BEVGrid(**GRID).cells(np.array([10.0, 1.0]))  # on the long divider
    assert out["bev_mask"][0, row, col] == 1 and out["bev_mask"][1, row, col] == 0
    assert DrawMap(1, cell_m=1.0)(out)["bev_mask"].shape == (3, 30, 60)
    with pytest.raises(ConfigError, match="after VectorizeMap"):
        DrawMap()(dict(frame, grid=None) and {"token": "t0"})


def test_a_frame_without_a_map_raises_unless_truth_is_optional(frame: dict) -> None:
    frame["map_kind"] = None
    with pytest.raises(DataError, match="t0 has no map.*optional=True"):
        VectorizeMap(GRID)(frame)
    out = DrawMap()(VectorizeMap(GRID, optional=True)(frame))
    assert "gt" not in out and "bev_mask" not in out and out["classes"][0] == "divider"


def test_unknown_names_are_refused(frame: dict) -> None:
    with pytest.raises(ConfigError, match="dividers.*unknown"):
        VectorizeMap(GRID, ("dividers",))
    with pytest.raises(ConfigError, match="divider_rule 'maptr' must be one of"):
        VectorizeMap(GRID, divider_rule="maptr")


def test_a_missing_map_file_or_layer_is_named(frame: dict, tmp_path: Path) -> None:
    frame |= {"map_kind": "nuscenes", "map_root": str(tmp_path), "map_name": "singapore-onenorth"}
    with pytest.raises(DataError, match=r"maps/expansion/singapore-onenorth\.json"):
        VectorizeMap(GRID)(frame)
    (tmp_path / "maps" / "expansion").mkdir(parents=True)
    file = tmp_path / "maps" / "expansion" / "singapore-onenorth.json"
    file.write_text(json.dumps({"version": "1.3", "node": [], "polygon": [], "line": []}))
    with pytest.raises(DataError, match=r"singapore-onenorth\.json lacks"):
        VectorizeMap(GRID)(frame)


def test_a_map_is_read_once_per_process(small_map: VectorMap, tmp_path: Path) -> None:
    small_map.to_geojson(tmp_path / "m.geojson")
    cached_map.cache_clear()
    first = cached_map("geojson", str(tmp_path / "m.geojson"), "")
    assert cached_map("geojson", str(tmp_path / "m.geojson"), "") is first
    assert cached_map.cache_info().hits == 1
