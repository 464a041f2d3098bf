"""Padded polylines of different lengths to a fixed number of points, as tensor operations that export to ONNX."""

import torch
from torch import Tensor

__all__ = ["resample_padded"]


def resample_padded(vertices: Tensor, counts: Tensor, num_points: int) -> Tensor:
    """Points at equal arc length, both ends included, as :func:`mapstack.geometry.polyline.resample` has them.

    Args:
        vertices: (..., V, D); x and y first, by which arc length is measured; further values are interpolated along.
        counts: (...) int64, how many of the V are the polyline's, at least 1.
        num_points: P, at least 2.

    Returns:
        (..., P, D).
    """
    last = (counts - 1)[..., None]
    index = torch.arange(vertices.shape[-2], device=vertices.device)
    padding = (index > last)[..., None]
    end = vertices.gather(-2, last[..., None].expand(*last.shape, vertices.shape[-1]))
    line = torch.where(padding, end, vertices)  # what comes after the end has no length
    edges = line[..., :2].diff(dim=-2).norm(dim=-1)
    arc = edges.cumsum(-1)  # (..., V - 1), at the end of each edge
    wanted = arc[..., -1:] * torch.linspace(0, 1, num_points, device=vertices.device)  # (..., P)
    edge = (arc[..., None, :] < wanted[..., :, None]).sum(-1)  # (..., P), the edge that each point lies on
    edge = torch.minimum(edge, (last - 1).clamp(min=0))
    begin = arc.gather(-1, edge) - edges.gather(-1, edge)
    share = ((wanted - begin) / edges.gather(-1, edge).clamp(min=1e-6)).clamp(0, 1)[..., None]
    edge = edge[..., None].expand(*edge.shape, vertices.shape[-1])
    return line.gather(-2, edge) * (1 - share) + line.gather(-2, edge + 1) * share
