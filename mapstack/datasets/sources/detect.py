"""Which kind of recording a folder is, and its frames without any map: for running a model on it."""

from pathlib import Path

from mapstack.errors import DataError

from . import argoverse2, nuscenes, recording

__all__ = ["read_unlabelled"]


def read_unlabelled(folder: str | Path) -> tuple[list[dict], str, Path]:
    """Read the sensor frames of a nuScenes root, an Argoverse 2 log (or folder of parts), or a plain recording.

    Whatever map lies beside the sensors is ignored.

    Returns:
        Frames as :mod:`mapstack.datasets.index` stores them, the kind of data, and the folder that paths start from.

    Raises:
        DataError: the folder is none of the three, or a nuScenes root with several versions of its tables.
    """
    folder = Path(folder).resolve()
    versions = sorted(path.parent.name for path in folder.glob("v1.0-*/sample.json"))
    if len(versions) > 1:
        raise DataError(f"{folder} holds {', '.join(versions)}; keep one, or prepare an index with prepare_nuscenes.py")
    if versions:
        frames, kind, root = nuscenes.read_frames(folder, versions[0]), "nuscenes", folder
    elif (folder / argoverse2.POSES).is_file():
        root = folder.parents[1]
        frames, kind = argoverse2.read_frames(root, logs=[folder.name]), "argoverse2"
    elif any(folder.glob(f"*/*/{argoverse2.POSES}")):
        frames, kind, root = argoverse2.read_frames(folder), "argoverse2", folder
    elif any(folder.glob("calibration.json")) or any(folder.glob("*/calibration.json")):
        frames, kind, root = recording.read_frames(folder), "recording", folder
    else:
        raise DataError(
            f"{folder} is no recording: expected v1.0-*/sample.json (nuScenes), {argoverse2.POSES} (an Argoverse 2 "
            f"log) or calibration.json (one's own, see docs/DATA.md)"
        )
    unlabelled = {"map_kind": None, "map_root": None, "map_name": None}
    return [{**frame, **unlabelled} for frame in frames], kind, root
