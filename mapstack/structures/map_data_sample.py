"""MapElements (many polylines at once) and MapDataSample (one frame on its way from dataset to metric)."""

from dataclasses import dataclass

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from numpy.typing import NDArray
from torch import Tensor

from mapstack.maps.patch import MapPatch

__all__ = ["MapDataSample", "MapElements"]


@dataclass
class MapElements:
    """N map elements of P points each; N may be 0.

    Args:
        points: (N, P, 2 or 3) ego metres; a closed element's last point repeats its first.
        labels: (N,) int64, index into the sample's ``classes``.
        scores: (N,) in [0, 1] for predictions, None for truth.
        closed: (N,) bool for truth, None where unknown.
        directed: (N,) bool for truth: only the given point order counts; None where unknown.
        vertices: the N polylines (n_i, 2 or 3), ego metres, of which ``points`` are samples: of truth the exact ones,
            of predictions those of a decoder that writes polylines of any length. The metric scores them where given.
        scales: (N, P, 2 or 3) metres, for predictions that know it: the Laplace scale of each coordinate, which is also
            its expected absolute error.
        topology: (N, N) in [0, 1], confidence that element n leads to element m; for truth 0 or 1; None where nobody
            asked.
    """

    points: Tensor
    labels: Tensor
    scores: Tensor | None = None
    closed: Tensor | None = None
    directed: Tensor | None = None
    vertices: list[NDArray] | None = None
    scales: Tensor | None = None
    topology: Tensor | None = None

    def __post_init__(self) -> None:
        if self.points.ndim != 3 or self.points.shape[-1] not in (2, 3):
            raise ValueError(f"points must be (N, P, 2 or 3), got {tuple(self.points.shape)}")
        for name in ("labels", "scores", "closed", "directed"):
            value = getattr(self, name)
            if value is not None and value.shape != self.points.shape[:1]:
                raise ValueError(f"{name} must be ({len(self.points)},), got {tuple(value.shape)}")
        shapes = {"scales": self.points.shape, "topology": (len(self.points), len(self.points))}
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise ValueError(f"{name} must be {tuple(shape)}, got {tuple(value.shape)}")

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def from_patch(cls, patch: MapPatch, num_points: int) -> "MapElements":
        """Truth with ``num_points`` points each, float32, and the exact vertices beside them."""
        return cls(
            points=torch.from_numpy(patch.points(num_points).astype(np.float32)),
            labels=torch.from_numpy(np.asarray(patch.labels, dtype=np.int64)),
            closed=torch.from_numpy(np.asarray(patch.closed, dtype=bool)),
            directed=torch.from_numpy(patch.directed),
            vertices=patch.vertices,
            topology=None if patch.topology is None else torch.from_numpy(patch.topology.astype(np.float32)),
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "MapElements":
        """The same elements with their tensors on ``device``."""
        moved = {
            name: value.to(device, non_blocking=non_blocking) if isinstance(value, Tensor) else value
            for name, value in vars(self).items()
        }
        return MapElements(**moved)


class MapDataSample(BaseDataElement):
    """One frame: what it is (metainfo), the truth and the prediction.

    Metainfo: ``token``, ``scene``, ``timestamp_ns``, ``location``, ``world_from_ego`` (4, 4), ``world_from_bev``
    (4, 4; pose of the patch, level and augmented), ``classes``, ``grid`` (BEVGrid), ``rules`` (how the truth was made),
    ``image_paths``, ``lidar_path``, ``lidar_origin`` (3,) ego metres, where the sensor stands; where the pose was
    disturbed on purpose ``bev_from_prior`` (4, 4), where the frame that priors were placed in truly lies.
    Data: ``gt`` and ``pred`` (:class:`MapElements`), ``bev_mask`` (K, rows, cols) uint8, the truth drawn on
    the grid per class; where the model judges priors, ``prior`` (:class:`PriorMap`, the elements that it was shown) and
    ``prior_contradicted`` (N,) in [0, 1]; where it corrects their place ``pose_correction`` (3,), x and y metres and
    yaw radians of its ``bev_from_prior``, and ``pose_covariance`` (3, 3). Each is absent where it was not made: a
    recording without a map has no ``gt``.
    """
