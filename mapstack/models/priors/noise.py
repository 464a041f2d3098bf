"""Priors made worse in training, so that a model does not believe a wrong one."""

from dataclasses import replace

import torch
from torch import nn

from mapstack.structures import PriorBatch

from .batch import only, rows_of
from .motion import move_priors

__all__ = ["PriorNoise"]


class PriorNoise(nn.Module):
    """Drop, exchange and shift priors of a batch; in evaluation it returns them as they are.

    Ageing belongs to the data (``HDMapPrior(pasts=...)``), where an element keeps its past; this is what can be done to
    any prior without its map. A map exchanged for that of another frame is contradicted in every element; beside such
    maps, a frame's own counts as holding where nobody knows (streets, earlier drives), so that both are seen.

    Args:
        drop_map: chance that a frame has no prior at all.
        drop_source: chance of each source of a frame to be missing.
        drop_vector: chance of each vector.
        exchange: chance that a frame gets the priors of another frame of the batch.
        shift_m: standard deviation of a shift of all of a frame's priors, along each axis.
        turn_deg: standard deviation of their turn about the ego.
    """

    def __init__(
        self,
        drop_map: float = 0.0,
        drop_source: float = 0.0,
        drop_vector: float = 0.0,
        exchange: float = 0.0,
        shift_m: float = 0.0,
        turn_deg: float = 0.0,
    ) -> None:
        super().__init__()
        self.drop_map, self.drop_source, self.drop_vector, self.exchange = drop_map, drop_source, drop_vector, exchange
        self.shift_m, self.turn_rad = shift_m, turn_deg * torch.pi / 180

    def forward(self, vectors: PriorBatch) -> PriorBatch:
        """The priors as a model in training sees them."""
        if not self.training:
            return vectors
        moved = self._moved(self._exchanged(vectors))
        batch, count = moved.valid.shape
        device = moved.valid.device
        keep = torch.rand(batch, 1, device=device) >= self.drop_map
        by_source = torch.rand(batch, 1 + int(moved.sources.max()), device=device) >= self.drop_source
        keep = keep & by_source.gather(1, moved.sources)
        return only(moved, keep & (torch.rand(batch, count, device=device) >= self.drop_vector))

    def _exchanged(self, vectors: PriorBatch) -> PriorBatch:
        batch = vectors.valid.shape[0]
        if batch < 2 or self.exchange == 0:
            return vectors
        wrong = torch.rand(batch, device=vectors.valid.device) < self.exchange
        # Half a batch away: frames of one clip stand together, and their maps would be nearly right.
        own = torch.arange(batch, device=wrong.device)
        taken = rows_of(vectors, torch.where(wrong, own.roll(batch // 2), own))
        changed = torch.where(wrong[:, None], torch.ones_like(taken.changed), taken.changed.clamp(min=0))
        return replace(taken, changed=changed)

    def _moved(self, vectors: PriorBatch) -> PriorBatch:
        spread = vectors.points.new_tensor([self.shift_m, self.shift_m, self.turn_rad])
        return move_priors(vectors, spread * torch.randn(len(vectors.points), 3, device=spread.device))
