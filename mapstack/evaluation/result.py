"""What a score consists of: the numbers, how sure they are, and everything that was decided to get them."""

import json
import math
from dataclasses import dataclass, field

from .protocols import Protocol
from .statistics import Scorer

__all__ = ["APTable", "Result"]

HEADLINES = {"raster": "mIoU", "lane_graph": "OLS"}  # what the one number is called; mAP otherwise
MEASURES = {"raster": "IoU_", "lane_graph": ""}  # before the class's name
UNSTATED = "not stated by the targets file"


class APTable(dict):
    """(label, threshold) to AP; a class name works in the place of its label."""

    def __init__(self, values: dict[tuple[int, float], float], classes: tuple[str, ...]) -> None:
        super().__init__(values)
        self._classes = classes

    def __missing__(self, key: tuple[str | int, float]) -> float:
        name, threshold_m = key
        if name not in self._classes:
            raise KeyError(f"{key}: labels are 0 to {len(self._classes) - 1}, classes {', '.join(self._classes)}")
        return self[self._classes.index(name), threshold_m]


@dataclass(frozen=True)
class Result:
    """The score of one predictions file.

    Args:
        protocol: every setting that made it.
        classes: names in label order.
        rules: how the truth was made (divider rule, crossing rule, origin ...), as its file states.
        map: mean over thresholds, then classes; ``openlanev2``: OLS; ``raster_iou``: mean IoU.
        ap: AP by (label, threshold).
        per_class: mean over thresholds by class; NaN for a class without targets where it is left out.
        num_frames: frames scored.
        num_targets: by class.
        num_predictions: by class.
        by_distance: AP by distance of the element to the ego, bin to class (and "mAP") to value.
        by_length: likewise by the element's length.
        ci95: 95 % bootstrap interval by class and of "mAP"; empty for fewer than two units.
        bootstrap: "unit" ("scene" or "frame"), "num_units", "replicates", "seed".
        values: the numbers that belong to no class: mAP (or mIoU; TOP_ll and OLS).
        companions: results of the protocols that are scored along, by name.
        scorer: scores any weighting of the units; for paired comparisons, not part of the JSON.
    """

    protocol: Protocol
    classes: tuple[str, ...]
    rules: dict[str, str]
    map: float
    ap: APTable
    per_class: dict[str, float]
    num_frames: int
    num_targets: dict[str, int]
    num_predictions: dict[str, int]
    by_distance: dict[str, dict[str, float]] = field(default_factory=dict)
    by_length: dict[str, dict[str, float]] = field(default_factory=dict)
    ci95: dict[str, tuple[float, float]] = field(default_factory=dict)
    bootstrap: dict[str, str | int] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    companions: dict[str, "Result"] = field(default_factory=dict)
    scorer: Scorer | None = field(default=None, repr=False, compare=False)

    def truth_rules(self) -> dict[str, str]:
        """The divider rule, crossing rule and origin, with a plain word where the targets do not say."""
        return {**{key: UNSTATED for key in ("divider", "crossing", "origin")}, **self.rules}

    def metrics(self) -> dict[str, float]:
        """Flat names to numbers, as a training log wants them; NaN where undefined."""
        measure = MEASURES.get(self.protocol.kind, "AP_")
        flat = {**self.values, **{f"{measure}{name}": value for name, value in self.per_class.items()}}
        for (label, threshold_m), value in self.ap.items():
            if self.protocol.kind != "raster":
                flat[f"{measure}{self.classes[label]}@{threshold_m:g}"] = value
        for name, companion in self.companions.items():
            short = name.removeprefix(f"{self.protocol.name}_")
            flat |= {f"{short}_{key}": value for key, value in companion.metrics().items()}
        return flat

    def to_dict(self) -> dict:
        """Everything but the scorer, of plain JSON types; undefined numbers are None."""
        return _plain(
            {
                "protocol": self.protocol.to_dict(),
                "statement": self.protocol.describe(),
                "truth_rules": self.truth_rules(),
                "classes": list(self.classes),
                "mAP": self.map,
                "per_class": self.per_class,
                "ap": [
                    {"label": label, "class": self.classes[label], "threshold_m": threshold_m, "ap": value}
                    for (label, threshold_m), value in self.ap.items()
                ],
                "values": self.values,
                "by_distance": self.by_distance,
                "by_length": self.by_length,
                "ci95": self.ci95,
                "bootstrap": self.bootstrap,
                "num_frames": self.num_frames,
                "num_targets": self.num_targets,
                "num_predictions": self.num_predictions,
                "companions": {name: companion.to_dict() for name, companion in self.companions.items()},
            }
        )

    def to_json(self) -> str:
        """:meth:`to_dict` as text, the same to the byte for the same input."""
        return json.dumps(self.to_dict(), indent=1, sort_keys=True, allow_nan=False)

    def __str__(self) -> str:
        from .table import render  # the table reads results, so it cannot be imported before them

        return render(self)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    return value
