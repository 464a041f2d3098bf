"""What the two halves of VectorMapNet learn from: keypoints for the detector, token sequences for the generator."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mapstack.models.matching import TargetBatch
from mapstack.structures import MapElements

from .codec import VertexCodec
from .keypoints import BoundingBox, StartMiddleEnd
from .lines import Lines, canonical, gather_lines, simplify

__all__ = ["ElementTargets", "element_targets"]


@dataclass(frozen=True)
class ElementTargets:
    """Elements of B frames, padded to the N of the fullest frame; N may be 0.

    Args:
        keypoints: their k keypoints as the matching takes them, (B, N, 1, k, 2) ego metres in the only order.
        tokens: (B, N, T) int64: x and y of each vertex in turn, then END; END on padding.
        weights: (B, N, T) of each token in the loss; they sum to 1 over an element and are 0 on padding.
    """

    keypoints: TargetBatch
    tokens: Tensor
    weights: Tensor


def element_targets(
    truth: Sequence[MapElements],
    codec: VertexCodec,
    form: BoundingBox | StartMiddleEnd,
    max_vertices: int,
    length_weighted: Collection[int],
    device: torch.device,
) -> ElementTargets:
    """Lay out B frames of truth.

    Args:
        truth: B frames; any may be empty.
        codec: of the vertices.
        form: of the keypoints.
        max_vertices: no element keeps more.
        length_weighted: labels whose vertices count by the length of the edges at them instead of all alike, which
            keeps the many short edges of a curb from outweighing its long ones.
        device: where the result lives.
    """
    lines = canonical(gather_lines(truth))
    labels = np.concatenate([np.zeros(0, np.int64), *(item.labels.cpu().numpy() for item in truth)])
    counts = torch.tensor([len(item) for item in truth])
    frame = torch.repeat_interleave(torch.arange(len(truth)), counts)
    slot = torch.arange(len(lines)) - torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    batch, most = len(truth), int(counts.max())

    def padded(rows: NDArray | Tensor) -> Tensor:
        rows = torch.as_tensor(rows)
        out = rows.new_zeros(batch, most, *rows.shape[1:])
        out[frame, slot] = rows
        return out.to(device)

    keypoints = TargetBatch(
        points=padded(form.of_lines(lines).astype(np.float32)[:, None]),
        labels=padded(labels),
        valid=padded(np.ones(len(lines), dtype=bool)),
        closed=torch.zeros(batch, most, dtype=torch.bool, device=device),  # keypoints have no other order
    )
    short = simplify(lines, codec.token_m / 2, max_vertices)
    weighted = torch.from_numpy(np.isin(labels, list(length_weighted)))
    tokens, weights = _sequences(*_padded_vertices(short, codec), weighted, codec)
    return ElementTargets(keypoints, padded(tokens), padded(weights))


def _padded_vertices(lines: Lines, codec: VertexCodec) -> tuple[Tensor, Tensor]:
    """Vertex tokens (L, V, 2), zero on padding, without those equal to the one before, and their counts (L,).

    An element smaller than a token keeps its two equal ends.
    """
    tokens, owner = codec.encode(torch.from_numpy(lines.vertices)), torch.from_numpy(lines.owners)
    ends = torch.from_numpy(lines.starts + lines.counts - 1)
    kept = torch.ones(len(tokens), dtype=torch.bool)
    kept[1:] = (tokens[1:] != tokens[:-1]).any(1) | (owner[1:] != owner[:-1])
    kept[ends] |= torch.bincount(owner[kept], minlength=len(lines)) < 2
    tokens, owner = tokens[kept], owner[kept]
    counts = torch.bincount(owner, minlength=len(lines))
    place = torch.arange(len(tokens)) - (counts.cumsum(0) - counts)[owner]
    vertices = tokens.new_zeros(len(lines), int(counts.max()) if len(lines) else 2, 2)
    vertices[owner, place] = tokens
    return vertices, counts


def _sequences(vertices: Tensor, counts: Tensor, weighted: Tensor, codec: VertexCodec) -> tuple[Tensor, Tensor]:
    """Token sequences (L, T) and their weights (L, T); ``weighted`` (L,) says where edges' lengths count."""
    mask = (torch.arange(vertices.shape[1]) < counts[:, None]).float()
    edges = codec.decode(vertices).diff(dim=1).norm(dim=-1) * mask[:, 1:]
    by_length = (F.pad(edges, (1, 0)) + F.pad(edges, (0, 1))) / 2
    length = edges.sum(1, keepdim=True)
    weighted = weighted[:, None] & (length > 0)
    share = torch.where(weighted, by_length / length.clamp(min=1e-6), mask / counts[:, None])
    of_end = 1 / (2 * counts[:, None] + (~weighted).float())
    tokens = F.pad(vertices.flatten(1), (0, 1))  # END is 0
    weights = F.pad((share * (1 - of_end) / 2).repeat_interleave(2, 1), (0, 1))
    return tokens, weights.scatter(1, 2 * counts[:, None], of_end)
