"""What a model file says about itself; read and written without PyTorch."""

import hashlib
import json
from dataclasses import asdict, dataclass, field

from mapstack.errors import DataError
from mapstack.geometry import BEVGrid

__all__ = ["METADATA_KEY", "LidarPreparation", "ModelMetadata", "PoolGeometry", "text_hash"]

METADATA_KEY = "mapstack"
FORMAT = 2


@dataclass(frozen=True)
class LidarPreparation:
    """How raw sweeps become the model's points, as the pipeline's LoadLidar has it.

    Args:
        num_sweeps: gathered for a frame, its own included.
        ego_radius_m: points nearer to the sensor than this are the own vehicle.
        max_range_m: points farther from the ego origin than this are left out; None keeps all.
    """

    num_sweeps: int = 1
    ego_radius_m: float = 0.0
    max_range_m: float | None = None


@dataclass(frozen=True)
class PoolGeometry:
    """What the gather tables of a BEV pool are computed from, besides the calibration.

    Args:
        cell_m: edge of the BEV cells.
        depth_bins: depth of each bin, metres.
        feature_size: (h, w) of the feature map that is lifted.
    """

    cell_m: float
    depth_bins: tuple[float, ...]
    feature_size: tuple[int, int]


@dataclass(frozen=True)
class ModelMetadata:
    """Everything that a caller must know to feed the model and to read its answer.

    Args:
        classes: in label order.
        grid: the patch that the points of the answer lie in.
        divider_rule: which lines the model learned to call dividers.
        image_size: (H, W) of the images it takes, None without cameras.
        num_cameras: V, 0 without cameras.
        mean: RGB mean in 0..255 that the images are normalised by.
        std: RGB standard deviation in 0..255.
        config_hash: SHA-256 of the config's text.
        version: of mapstack.
        cameras: their names in the order that the model takes them.
        keep_bottom: share of the slack in height that is cut from the top, see ResizeCropImages.
        lidar: how sweeps are prepared, None without LiDAR.
        origin: "ego", or "lidar" where the ego frame was moved below the LiDAR.
        state: names of the tensors that a stream carries from frame to frame.
        max_gap_s: frames farther apart do not continue each other.
        pool: set where the graph takes gather tables for its BEV pool, see :mod:`mapstack.export.tables`.
        pillar_cell_m: edge of the pillars that it takes gather tables for, None where it does not.
        max_priors: most prior vectors of a frame, the nearest; None without priors.
    """

    classes: tuple[str, ...]
    grid: BEVGrid
    divider_rule: str
    image_size: tuple[int, int] | None
    num_cameras: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    config_hash: str
    version: str
    cameras: tuple[str, ...] = ()
    keep_bottom: float = 1.0
    lidar: LidarPreparation | None = None
    origin: str = "ego"
    state: tuple[str, ...] = field(default=())
    max_gap_s: float = 1.5
    pool: PoolGeometry | None = None
    pillar_cell_m: float | None = None
    max_priors: int | None = None

    def to_json(self) -> str:
        """One line of JSON, keys sorted."""
        fields = {"format": FORMAT, **asdict(self)}
        fields["grid"] = {"pc_range": list(self.grid.pc_range), "cell_m": self.grid.cell_m}
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | None, source: str) -> "ModelMetadata":
        """Read what :meth:`to_json` wrote; ``source`` names the file in errors."""
        if text is None:
            raise DataError(f"{source} has no mapstack metadata; write it with tools/export_onnx.py")
        fields = json.loads(text)
        if fields.pop("format", None) != FORMAT:
            raise DataError(f"{source} has another metadata format than {FORMAT}; export it again with this version")
        fields["grid"] = BEVGrid(**fields["grid"])
        if fields["lidar"] is not None:
            fields["lidar"] = LidarPreparation(**fields["lidar"])
        if fields["pool"] is not None:
            fields["pool"] = PoolGeometry(**{name: _frozen(value) for name, value in fields["pool"].items()})
        return cls(**{name: _frozen(value) for name, value in fields.items()})


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def text_hash(text: str) -> str:
    """SHA-256 of a text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
