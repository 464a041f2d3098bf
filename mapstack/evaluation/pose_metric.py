"""The MMEngine metric of localisation: median errors, and what a pose graph over each drive makes of them."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import ConfigError, DataError
from mapstack.geometry.pose_graph import GraphNoise, fuse_with_odometry
from mapstack.registry import METRICS

from .pose_error import summarize_pose_errors
from .written_metric import WrittenMetric

__all__ = ["PoseMetric"]


@METRICS.register_module()
class PoseMetric(WrittenMetric):
    """Median translation and rotation error, ``pose/translation_m`` and ``pose/rotation_deg``, and their means.

    With ``pose_graph`` also ``pose/fused_...`` of the same predictions, each corrected by the odometry of the frames
    around it; the drives' frames must then all be there, and have ``odometry``.

    Args:
        pose_graph: arguments of :class:`GraphNoise`, and ``window`` and ``keep`` of :func:`fuse_with_odometry`.
        **options: as :class:`WrittenMetric`; predictions.json is world_from_body by token.
    """

    default_prefix = "pose"

    def __init__(
        self,
        pose_graph: dict | None = None,
        **options: str | None,
    ) -> None:
        super().__init__(**options)
        graph = dict(pose_graph or {})
        self.window, self.keep = graph.pop("window", 7), graph.pop("keep", "middle")
        try:
            self.noise = GraphNoise(**graph) if pose_graph is not None else None
        except (TypeError, ValueError) as error:
            raise ConfigError(f"PoseMetric.pose_graph: {error}") from error

    def process(self, data_batch: object, data_samples: Sequence[Mapping]) -> None:
        """Keep one entry per sample: the frame that it was asked for, whatever tuple is around it."""
        for sample in data_samples:
            token, place = sample["token"], sample["place"]
            if not sample["labelled"] or sample.get("pred") is None:
                raise DataError(f"frame {token} has no true pose or no prediction to compare")
            entry = {"token": token, "scene": sample["scene"], "timestamp_ns": sample["timestamp_ns"]}
            for key in ("pred", "poses", "odometry"):
                if sample.get(key) is not None:
                    entry[key] = sample[key][place].double().cpu().numpy()
            self.results.append(entry)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Errors over all frames."""
        frames = sorted(results, key=lambda frame: (frame["scene"], frame["timestamp_ns"]))
        predicted, true = (np.stack([frame[key] for frame in frames]) for key in ("pred", "poses"))
        poses = {"predictions": predicted}
        metrics = summarize_pose_errors(predicted, true)
        if self.noise is not None:
            poses["fused"] = self._fuse(frames)
            metrics |= {f"fused_{key}": value for key, value in summarize_pose_errors(poses["fused"], true).items()}
        self.write_scores(metrics)
        if self.out_dir is not None:
            tokens = [frame["token"] for frame in frames]
            by_token = {key: dict(zip(tokens, value.tolist(), strict=True)) for key, value in poses.items()}
            text = json.dumps(by_token, allow_nan=False)
            (Path(self.out_dir) / "predictions.json").write_text(text + "\n", encoding="utf-8")
        return metrics

    def _fuse(self, frames: list[dict]) -> NDArray:
        lacking = [frame["token"] for frame in frames if "odometry" not in frame]
        if lacking:
            raise DataError(f"frame {lacking[0]} has no odometry for the pose graph; see SimulateOdometry")
        fused = []
        for _, group in groupby(frames, key=lambda frame: frame["scene"]):
            drive = list(group)
            predicted, odometry = (np.stack([frame[key] for frame in drive]) for key in ("pred", "odometry"))
            fused.append(fuse_with_odometry(predicted, odometry, self.noise, self.window, self.keep))
        return np.concatenate(fused)
