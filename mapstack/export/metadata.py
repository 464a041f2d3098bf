"""What a model file says about itself; read and written without PyTorch."""

import hashlib
import json
from dataclasses import dataclass

from mapstack.errors import DataError
from mapstack.geometry import BEVGrid

__all__ = ["METADATA_KEY", "ModelMetadata", "text_hash"]

METADATA_KEY = "mapstack"
FORMAT = 1


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

    def to_json(self) -> str:
        """One line of JSON, keys sorted."""
        fields = dict(vars(self))
        fields["grid"] = {"pc_range": list(self.grid.pc_range), "cell_m": self.grid.cell_m}
        return json.dumps({"format": FORMAT, **fields}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | None, source: str) -> "ModelMetadata":
        """Read what :meth:`to_json` wrote; ``source`` names the file in errors."""
        if text is None:
            raise DataError(f"{source} has no mapstack metadata; write it with tools/export_onnx.py")
        fields = json.loads(text)
        if fields.pop("format", None) != FORMAT:
            raise DataError(f"{source} has another metadata format than {FORMAT}; export it again with this version")
        fields["grid"] = BEVGrid(**fields["grid"])
        for name in ("classes", "image_size", "mean", "std"):
            fields[name] = None if fields[name] is None else tuple(fields[name])
        return cls(**fields)


def text_hash(text: str) -> str:
    """SHA-256 of a text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
