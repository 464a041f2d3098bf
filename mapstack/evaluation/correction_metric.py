"""The MMEngine metric of pose correction: how far off the pose was that priors were placed by, and is after it."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import ConfigError, DataError
from mapstack.geometry.odometry import OdometryNoise, simulate_odometry
from mapstack.geometry.pose_graph import GraphNoise, fuse_with_odometry
from mapstack.geometry.se3 import invert, make_transform, rotation_z
from mapstack.registry import METRICS

from .map_alignment import planar_errors
from .written_metric import WrittenMetric

__all__ = ["CorrectionMetric"]


@METRICS.register_module()
class CorrectionMetric(WrittenMetric):
    """Errors of the reported, the corrected and the fused poses.

    ``correction/reported_m``, ``corrected_m`` and, with ``pose_graph``, ``fused_m``: medians over all frames, in
    metres; the same ending in ``_deg`` for the heading, in ``_m_p90`` for the 90th percentile. Fused is a pose graph
    over the corrected poses of a drive and simulated odometry.

    Args:
        pose_graph: arguments of :class:`GraphNoise`, on top of each frame's own covariance, and ``window``; each frame
            is the last of its window.
        odometry: arguments of :class:`OdometryNoise`.
        seed: of the odometry.
        **options: as :class:`WrittenMetric`.
    """

    default_prefix = "correction"

    def __init__(
        self,
        pose_graph: dict | None = None,
        odometry: dict | None = None,
        seed: int = 0,
        **options: str | None,
    ) -> None:
        super().__init__(**options)
        graph = dict(pose_graph or {})
        self.window = graph.pop("window", 15)
        try:
            self.noise = GraphNoise(**graph) if pose_graph is not None else None
            self.odometry = OdometryNoise(**(odometry or {}))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"CorrectionMetric: {error}") from error
        self.seed = seed

    def process(self, data_batch: object, data_samples: Sequence[Mapping]) -> None:
        """Keep one entry a frame."""
        for sample in data_samples:
            pose = sample.get("pose_correction")
            if pose is None or sample.get("bev_from_prior") is None:
                raise DataError(
                    f"token {sample['token']} has no pose_correction or no bev_from_prior; the model needs a "
                    "correction, the pipeline DisturbPose"
                )
            x, y, yaw = pose.double().cpu().numpy()
            found = make_transform(rotation_z(yaw), np.array([x, y, 0.0]))
            true = np.asarray(sample["world_from_bev"])
            reported = true @ np.asarray(sample["bev_from_prior"])
            entry = {"scene": sample["scene"], "timestamp_ns": sample["timestamp_ns"], "true": true}
            entry |= {"reported": reported, "corrected": reported @ invert(found)}
            self.results.append(entry | {"covariance": sample["pose_covariance"].double().cpu().numpy()})

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Errors over all frames."""
        frames = sorted(results, key=lambda frame: (frame["scene"], frame["timestamp_ns"]))
        poses = {key: np.stack([frame[key] for frame in frames]) for key in ("true", "reported", "corrected")}
        if self.noise is not None:
            poses["fused"] = self._fused(frames)
        metrics: dict[str, float] = {}
        for name, found in poses.items():
            if name != "true":
                errors = planar_errors(found, poses["true"])
                metrics[f"{name}_m"], metrics[f"{name}_deg"] = np.median(errors[:, [0, 3]], axis=0).tolist()
                metrics[f"{name}_m_p90"] = float(np.percentile(errors[:, 0], 90))
        self.write_scores(metrics)
        return metrics

    def _fused(self, frames: list[dict]) -> NDArray:
        rng = np.random.default_rng(self.seed)
        fused = []
        for _, group in groupby(frames, key=lambda frame: frame["scene"]):
            drive = list(group)
            keys = ("true", "corrected", "covariance")
            true, corrected, covariance = (np.stack([frame[key] for frame in drive]) for key in keys)
            times_s = np.array([frame["timestamp_ns"] for frame in drive], np.float64) * 1e-9
            odometry = simulate_odometry(true, times_s, self.odometry, rng)
            fused.append(fuse_with_odometry(corrected, odometry, self.noise, self.window, "last", covariance))
        return np.concatenate(fused)
