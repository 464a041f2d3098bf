"""Each decoder learns one frame by heart from features that show its lines: a bug detector that takes seconds."""

import pytest
import torch
from torch import Tensor

from mapstack.geometry import BEVGrid
from mapstack.models.decoders.attraction import element_offsets
from mapstack.models.matching import batch_targets, order_costs
from mapstack.structures import MapElements

from .problems import CHANNELS, COLS, GRID, ROWS, build, truth

LEARNERS = {
    "maptr": 80,
    "maptrv2-3d-lanes": 150,
    "streammapnet": 130,
    "supermapnet-proposals": 80,
}


def features(frames: list[MapElements]) -> Tensor:
    """(B, C, rows, cols): where each element is, as a map a sensor might give."""
    target = batch_targets(frames, torch.device("cpu"))
    centers = torch.from_numpy(BEVGrid(**GRID).centers()).float().flatten(0, 1)
    offsets = element_offsets(centers, target)  # (B, N, M, 2)
    near = torch.exp(-offsets.square().sum(-1, keepdim=True))
    shown = torch.cat([near, near * offsets], -1).movedim(-1, 2).flatten(1, 2)  # (B, 3 N, M)
    return shown[:, :CHANNELS].unflatten(2, (ROWS, COLS))


def distance_m(points: Tensor, lines: Tensor) -> Tensor:
    """(Q, N) mean distance of each true polyline's points (N, P, 2) to each found polyline (Q, P', 2)."""
    share = torch.linspace(0, 1, 11)[:-1, None]
    dense = (lines[:, :-1, None] + share * lines.diff(dim=1)[:, :, None]).flatten(1, 2)  # (Q, S, 2)
    return torch.cdist(points[None], dense[:, None]).min(-1).values.mean(-1)


@pytest.mark.parametrize("name", LEARNERS)
def test_decoder_learns_a_frame_by_heart(name: str) -> None:
    decoder = build(name)
    frames = truth(1)
    seen = features(frames)
    optimizer = torch.optim.AdamW(decoder.parameters(), 1e-2, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=LEARNERS[name])
    for _ in range(LEARNERS[name]):
        optimizer.zero_grad()
        sum(decoder.loss(seen, frames).values()).backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    decoder.train()
    with torch.no_grad():
        output = decoder(seen)
        (found,) = decoder.predict(output)
    best = found.scores > 0.5
    assert sorted(found.labels[best].tolist()) == [0, 1, 2, 2]
    same_class = found.labels[best][:, None] == frames[0].labels
    if "supermapnet" in name:  # its points lie on pivots and between them, not at equal distances
        gaps = distance_m(frames[0].points[..., :2], found.points[best])
    else:
        target = batch_targets(frames, torch.device("cpu"), found.points.shape[2])
        gaps = order_costs(found.points[best][None], target)[0][0]
    assert gaps.masked_fill(~same_class, 9.0).min(0).values.max() < 0.5
    if found.topology is not None:
        lanes = (best & (found.labels == 2)).nonzero()[:, 0]
        first = lanes[found.points[lanes, 0, 0].argmin()]
        (second,) = lanes[lanes != first]
        assert found.topology[first, second] > 0.5 > found.topology[second, first]
