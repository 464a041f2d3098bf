"""The MMEngine face of :func:`evaluate`: gathers frames, scores them once, writes what was scored."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from numpy.typing import NDArray
from torch import Tensor

from mapstack.errors import DataError
from mapstack.registry import METRICS
from mapstack.structures import MapElements

from .protocols import get_protocol
from .scoring import Options, evaluate
from .submission import Entry, write_submission

__all__ = ["MapMetric", "as_array"]

POINT_DECIMALS = 4  # a tenth of a millimetre, in the file and in the score alike


@METRICS.register_module()
class MapMetric(BaseMetric):
    """Score vector maps under a named protocol, ``<protocol>/mAP``, ``<protocol>/AP_<class>`` ...

    The numbers depend neither on the batch size nor on the number of processes, and equal those of
    ``tools/evaluate.py`` on the files that are written.

    Args:
        protocol: name in ``PROTOCOLS``; also the prefix of the keys.
        out_dir: where metrics.json, predictions.json and targets.json are written; nowhere when None.
        replicates: bootstrap draws for the 95 % interval.
        collect_device: as MMEngine's.
        prefix: instead of the protocol's name.
        collect_dir: as MMEngine's.
    """

    def __init__(
        self,
        protocol: str = "maptr",
        out_dir: str | None = None,
        replicates: int = 1000,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix or get_protocol(protocol).name, collect_dir)
        self.protocol, self.out_dir = get_protocol(protocol), out_dir
        self.options = Options(replicates=replicates)

    def process(self, data_batch: object, data_samples: Sequence[Mapping]) -> None:
        """Keep one entry per frame: MMEngine cuts ``results`` to the number of frames."""
        for sample in data_samples:
            token = str(sample["token"])
            for side in ("pred", "gt"):
                if sample.get(side) is None:
                    raise DataError(
                        f"token {token} has no {side!r}; a metric needs predictions and a map for every frame"
                    )
            context = {key: sample[key] for key in ("scene", "timestamp_ns") if sample.get(key) is not None}
            self.results.append(
                {
                    "token": token,
                    "classes": tuple(sample.get("classes") or self._dataset_classes()),
                    "rules": dict(sample.get("rules") or {}),
                    "pred": {**_predicted(_fields(sample["pred"])), **context},
                    "gt": {**_true(_fields(sample["gt"])), **context},
                }
            )

    def _dataset_classes(self) -> tuple[str, ...]:
        return tuple((self.dataset_meta or {}).get("classes", ()))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Score all frames on the main process."""
        frames = {frame["token"]: frame for frame in results}
        if len(frames) < len(results):
            raise DataError(f"{len(results) - len(frames)} frames were scored twice; the sampler repeats tokens")
        meta = {"classes": list(_agreed(results, "classes") or ()), "rules": _agreed(results, "rules") or {}}
        sides = [
            {"meta": meta, "results": {token: frame[side] for token, frame in sorted(frames.items())}}
            for side in ("pred", "gt")
        ]
        result = evaluate(*sides, self.protocol, options=self.options)
        print_log(f"\n{result}", logger="current", level=logging.INFO)
        metrics = result.metrics()
        if self.out_dir is not None:
            self._write(metrics, result.to_dict(), sides)
        return metrics

    def _write(self, metrics: dict[str, float], result: dict, sides: list[dict]) -> None:
        out_dir = Path(self.out_dir)
        for name, side in zip(("predictions.json", "targets.json"), sides, strict=True):
            entries = ((token, _lists(entry)) for token, entry in side["results"].items())
            write_submission(out_dir / name, entries, side["meta"])
        flat = {f"{self.prefix}/{key}": None if np.isnan(value) else value for key, value in metrics.items()}
        text = json.dumps({**flat, "result": result}, indent=1, sort_keys=True, allow_nan=False)
        (out_dir / "metrics.json").write_text(text + "\n", encoding="utf-8")


def _fields(elements: MapElements | Mapping) -> Mapping:
    return elements if isinstance(elements, Mapping) else vars(elements)


def as_array(value: Tensor | NDArray) -> NDArray:
    """The same numbers in NumPy."""
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def _predicted(fields: Mapping) -> Entry:
    """Vertices where there are some, else points, rounded; scores as the shortest decimal that is the same float32."""
    scores = as_array(fields["scores"]).astype(np.float32)
    return {
        "vectors": _rounded(fields["points"] if fields.get("vertices") is None else fields["vertices"]),
        "labels": as_array(fields["labels"]),
        "scores": np.array([float(str(score)) for score in scores]),
        **_extras(fields),
    }


def _rounded(lines: Tensor | Sequence[NDArray]) -> NDArray | list[NDArray]:
    """To :data:`POINT_DECIMALS`; lines of one length as one array."""
    if isinstance(lines, list):
        return [np.round(np.asarray(line, dtype=np.float64), POINT_DECIMALS) for line in lines]
    return np.round(as_array(lines).astype(np.float64), POINT_DECIMALS)


def _true(fields: Mapping) -> Entry:
    """The exact vertices where there are some, the sampled points otherwise."""
    vertices = fields.get("vertices")
    vectors = list(as_array(fields["points"])) if vertices is None else [np.asarray(line) for line in vertices]
    return {
        "vectors": [line.astype(np.float64) for line in vectors],
        "labels": as_array(fields["labels"]),
        **_extras(fields),
    }


def _extras(fields: Mapping) -> Entry:
    kept = {key: as_array(fields[key]) for key in ("track_ids", "topology", "scales") if fields.get(key) is not None}
    if "scales" in kept:
        kept["scales"] = np.round(kept["scales"].astype(np.float64), POINT_DECIMALS)
    return kept


def _agreed(results: list[dict], key: str) -> object:
    """The one value that all frames state."""
    if not results:
        return None
    for frame in results:
        if frame[key] != results[0][key]:
            raise DataError(
                f"token {frame['token']} has {key} {frame[key]}, token {results[0]['token']} has {results[0][key]}; "
                "one score needs one definition"
            )
    return results[0][key]


def _lists(entry: Entry) -> Entry:
    """The entry in JSON's types."""
    plain = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in entry.items()}
    plain["vectors"] = [np.asarray(vector).tolist() for vector in entry["vectors"]]
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in plain.items()}
