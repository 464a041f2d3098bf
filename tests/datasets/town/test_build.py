import filecmp
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mapstack.datasets.town import SIZES, TownPaths, build, make_town
from mapstack.errors import ConfigError, DataError


def files_of(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_the_same_seed_gives_the_same_bytes_whoever_renders(town, tmp_path):
    other = make_town(tmp_path / "town", size="tiny", num_workers=2)
    names = files_of(town.root)
    assert names == files_of(other.root)
    _, differ, broken = filecmp.cmpfiles(town.root, other.root, names, shallow=False)
    assert not differ and not broken


def test_a_finished_town_is_not_made_again(town, monkeypatch):
    monkeypatch.setattr(build, "grow_world", lambda *_: pytest.fail("grew another"))
    assert make_town(town.root, size="tiny") == town


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="holds something that is not a town"):
        make_town(tmp_path, size="tiny")
    assert (tmp_path / "thesis.txt").is_file()


def test_an_unknown_size_names_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match="tiny, small, revisited, localisation, large"):
        make_town(tmp_path / "town", size="huge")


def test_a_failure_half_way_leaves_nothing_and_keeps_the_old_town(town, tmp_path, monkeypatch):
    old = tmp_path / "town"
    old.mkdir()
    (old / "town.json").write_text(json.dumps({"town": 0, "seed": 0, "size": "tiny"}))
    monkeypatch.setattr(build, "write_scene", lambda *_: (_ for _ in ()).throw(RuntimeError("disk full")))
    monkeypatch.setattr(build, "write_log", lambda *_: 1)
    with pytest.raises(RuntimeError, match="disk full"):
        make_town(old, size="tiny", num_workers=0)
    assert [path.name for path in tmp_path.iterdir()] == ["town"] and files_of(old) == ["town.json"]


def test_what_a_killed_run_left_is_removed(tmp_path):
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left = tmp_path / f".town.partial-{gone.stdout.strip()}"
    left.mkdir()
    living = tmp_path / ".town.partial-1"
    living.mkdir()
    build._remove_abandoned(tmp_path / "town")
    assert not left.exists() and living.exists()


def test_training_and_validation_streets_are_apart_on_the_ground(tables, town):
    scenes = {name: set(path.read_text().split()) for name, path in town.splits.items()}
    assert scenes["train"] and scenes["val"] and not scenes["train"] & scenes["val"]
    places: dict[str, list] = {"train": [], "val": []}
    for sample in tables.sample:
        name = tables.get("scene", sample["scene_token"])["name"]
        pose = tables.get("sample_data", sample["data"]["LIDAR_TOP"])["ego_pose_token"]
        part = "train" if name in scenes["train"] else "val"
        places[part].append(tables.get("ego_pose", pose)["translation"][:2])
    train, val = (np.array(places[part]) for part in ("train", "val"))
    assert np.linalg.norm(train[:, None] - val[None], axis=-1).min() > 100.0


def test_districts_of_the_two_splits_are_apart(small_world):
    train, val = (
        [district.map.drivable for district in small_world.districts if district.split == split]
        for split in ("train", "val")
    )
    assert min(a.distance(b) for a in train for b in val) > 100.0
    assert len(small_world.scenes) == SIZES["small"].train_scenes + SIZES["small"].val_scenes


@pytest.mark.parametrize("seed", range(1, 4))
def test_other_seeds_grow_too(seed):
    from mapstack.datasets.town.world import grow_world

    world = grow_world(seed, "tiny")
    assert all(district.map.connectors for district in world.districts)


def test_paths_lie_under_one_root(town):
    assert town == TownPaths.under(town.root)
    assert town.osm.is_file() and town.osm_argoverse2.is_file() and town.aged_map.is_file()
