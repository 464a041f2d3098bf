from pathlib import Path

import pytest

from mapstack.datasets.splits import SPLITS_DIR, choose_scenes, read_split, read_split_files, split_names
from mapstack.errors import DataError

SIZES = {
    ("nuscenes", "official"): (700, 150, 150),
    ("nuscenes", "streammapnet"): (698, 148, 0),
    ("nuscenes", "geo_near"): (657, 124, 137),
    ("argoverse2", "official"): (700, 150, 150),
    ("argoverse2", "streammapnet"): (749, 149, 0),
    ("argoverse2", "geo_near"): (696, 151, 151),
}


@pytest.mark.parametrize(("dataset", "name"), SIZES)
def test_lists_have_the_published_sizes(dataset: str, name: str) -> None:
    parts = read_split(dataset, name)
    assert tuple(len(parts.get(part, ())) for part in ("train", "val", "test")) == SIZES[dataset, name]


@pytest.mark.parametrize("folder", sorted(path for path in SPLITS_DIR.iterdir() if path.is_dir()), ids=lambda p: p.name)
def test_every_split_reads_without_overlap_and_says_where_it_is_from(folder: Path) -> None:
    dataset, name = folder.name.split("_", 1)
    assert name in split_names(dataset)
    assert read_split(dataset, name)["train"]
    assert (folder / "SOURCE.txt").read_text().strip()


def test_lists_agree_with_the_shared_ones(shared_data: Path) -> None:
    theirs = shared_data / "splits"
    ours = read_split("nuscenes", "streammapnet")
    assert set(ours["val"]) == set((theirs / "nuscenes_streammapnet_newsplit" / "val.txt").read_text().split())


def test_a_scene_in_two_parts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a\nb\n")
    (tmp_path / "val.txt").write_text("# held out\nb\n")
    with pytest.raises(DataError, match=r"b stands in .*train\.txt and in .*val\.txt"):
        read_split("nuscenes", str(tmp_path))


def test_unknown_names_and_empty_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no split 'offical' for nuscenes.*official"):
        read_split("nuscenes", "offical")
    (tmp_path / "train.txt").write_text("\n")
    with pytest.raises(DataError, match="lists no scene"):
        read_split_files([tmp_path / "train.txt"])


def test_missing_scenes_are_accepted_only_when_asked() -> None:
    parts = {"train": ["a", "b"], "val": ["c"]}
    with pytest.raises(DataError, match="2 scenes of the split are not in the root.*--partial"):
        choose_scenes(parts, ["a"], allow_partial=False)
    assert choose_scenes(parts, ["a", "z"], allow_partial=True) == {"train": ["a"]}
    with pytest.raises(DataError, match="--split all"):
        choose_scenes(parts, ["z"], allow_partial=True)
