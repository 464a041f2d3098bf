"""Named lists of scenes or logs: ``data/splits/NAME/{train,val,test}.txt``, one name a line, no name in two lists."""

from collections.abc import Collection, Mapping
from pathlib import Path

from mapstack.errors import DataError

__all__ = ["ALL", "SPLITS_DIR", "choose_scenes", "read_split", "read_split_files", "split_names"]

SPLITS_DIR = Path(__file__).resolve().parents[2] / "data" / "splits"
ALL = "all"


def split_names(dataset: str, folder: Path = SPLITS_DIR) -> list[str]:
    """Short names of the splits that ship for "nuscenes" or "argoverse2"."""
    return sorted(path.name.removeprefix(f"{dataset}_") for path in folder.glob(f"{dataset}_*") if path.is_dir())


def read_split(dataset: str, name: str) -> dict[str, list[str]]:
    """Read a split.

    Args:
        dataset: "nuscenes" or "argoverse2".
        name: short name (see :func:`split_names`) or a folder of text files.

    Returns:
        Scene names or log ids of each part that the split has: train, val, perhaps test.
    """
    folder = Path(name) if Path(name).is_dir() else SPLITS_DIR / f"{dataset}_{name}"
    files = [folder / f"{part}.txt" for part in ("train", "val", "test")]
    if not any(file.is_file() for file in files):
        raise DataError(
            f"no split {name!r} for {dataset}: {folder} has no train.txt, val.txt or test.txt; choose one of "
            f"{', '.join(split_names(dataset))}, {ALL}, or a folder of your own"
        )
    return read_split_files([file for file in files if file.is_file()])


def read_split_files(files: Collection[Path]) -> dict[str, list[str]]:
    """Read lists of names, each part named by its file's stem.

    Raises:
        DataError: a name stands twice, or in two lists, or a list is empty.
    """
    parts, owner = {}, {}
    for file in files:
        if not file.is_file():
            raise DataError(f"no split list at {file}; it holds one scene or log a line")
        names = [line.strip() for line in file.read_text().splitlines()]
        names = [name for name in names if name and not name.startswith("#")]
        if not names:
            raise DataError(f"{file} lists no scene; it holds one scene or log a line")
        for name in names:
            if name in owner:
                raise DataError(f"{name} stands in {owner[name]} and in {file}: parts must not share scenes")
            owner[name] = file
        parts[file.stem] = names
    return parts


def choose_scenes(
    parts: Mapping[str, Collection[str]], available: Collection[str], *, allow_partial: bool
) -> dict[str, list[str]]:
    """Keep the scenes of each part that a root holds.

    Args:
        parts: scene names by part.
        available: scene names in the root.
        allow_partial: accept a root that lacks listed scenes (a part of the data set); parts left empty go.

    Raises:
        DataError: listed scenes are not there and ``allow_partial`` is False, or none is there at all.
    """
    have = set(available)
    missing = {part: [name for name in names if name not in have] for part, names in parts.items()}
    lacking = sum(len(names) for names in missing.values())
    if lacking and not allow_partial:
        example = next(name for names in missing.values() for name in names)
        raise DataError(
            f"{lacking} scenes of the split are not in the root (first {example}; the root holds {len(have)}); "
            f"download the rest, or index what is there with --partial"
        )
    chosen = {part: [name for name in names if name in have] for part, names in parts.items()}
    chosen = {part: names for part, names in chosen.items() if names}
    if not chosen:
        raise DataError("the root holds no scene of the split; use --split all to index whatever is there")
    return chosen
