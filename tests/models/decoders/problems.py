"""Tiny decoders of every kind, and truth on a patch of 16 m x 8 m to try them on."""

import torch
from torch import Tensor, nn

from mapstack.registry import MODELS
from mapstack.structures import MapElements

GRID = {"pc_range": (-8, -4, -2, 8, 4, 2), "cell_m": 1.0}
ROWS, COLS, CHANNELS, NUM_CLASSES, NUM_POINTS = 8, 16, 12, 3, 8
SMALL = {"num_points": NUM_POINTS, "num_queries": 6, "embed_dims": 16, "num_layers": 2, "num_samples": 2}
PIVOTS = {"num_elements": (3, 2, 3), "num_pivots": (5, 6, 7), "num_points": NUM_POINTS}
PIVOTS |= {"embed_dims": 16, "num_layers": 2, "num_heads": 4, "stride": 1, "area_m2": 0.1}
MANY = {"num_queries": 8, "repeats": 2}
DECODERS: dict[str, dict] = {
    "maptr": {"type": "MapTRDecoder", **SMALL, "denoising": {}, "uncertainty": True},
    "maptrv2": {"type": "MapTRv2Decoder", **SMALL, "one_to_many": MANY, "uncertainty": True},
    "maptrv2-proposals": {
        "type": "MapTRv2Decoder",
        **SMALL,
        "one_to_many": MANY,
        "proposals": True,
        "field": True,
        "denoising": {},
    },
    "maptrv2-3d-lanes": {
        "type": "MapTRv2Decoder",
        **SMALL,
        "dims": 3,
        "lane_graph": {"lane_class": 2},
        "denoising": {},
    },
    "maptrv2-interaction": {"type": "MapTRv2Decoder", **SMALL, "interaction": {}, "uncertainty": True},
    "maptrv2-interaction-as-released": {
        "type": "MapTRv2Decoder",
        **SMALL,
        "one_to_many": MANY,
        "interaction": {"feed_back": False, "own_points": False},
    },
    "streammapnet": {"type": "StreamMapNetDecoder", **SMALL, "uncertainty": True},
    "streammapnet-proposals": {"type": "StreamMapNetDecoder", **SMALL, "proposals": True, "field": True},
    "supermapnet": {"type": "SuperMapNetDecoder", **PIVOTS, "uncertainty": True},
    "supermapnet-proposals": {"type": "SuperMapNetDecoder", **PIVOTS, "proposals": True},
    "supermapnet-as-released": {
        "type": "SuperMapNetDecoder",
        **PIVOTS,
        "interaction": {"feed_back": False, "own_points": False},
    },
}


def build(name: str, **changes: object) -> nn.Module:
    """A decoder of :data:`DECODERS`, the same for every call."""
    torch.manual_seed(0)
    shared = {"grid": GRID, "cell_m": 1.0, "in_channels": CHANNELS, "num_classes": NUM_CLASSES}
    return MODELS.build({**shared, **DECODERS[name], **changes})


def bev(batch: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(batch, CHANNELS, ROWS, COLS, generator=torch.Generator().manual_seed(seed))


def elements(lines: list[Tensor], labels: list[int], closed: list[bool], directed: list[bool]) -> MapElements:
    return MapElements(
        points=torch.stack(lines) if lines else torch.zeros(0, NUM_POINTS, 3),
        labels=torch.tensor(labels, dtype=torch.long),
        closed=torch.tensor(closed, dtype=torch.bool),
        directed=torch.tensor(directed, dtype=torch.bool),
    )


def line(start: tuple[float, float], stop: tuple[float, float], bend: float = 0.0) -> Tensor:
    """(P, 3): from start to stop, bent aside in the middle, slowly rising."""
    share = torch.linspace(0, 1, NUM_POINTS)[:, None]
    begin, end = torch.tensor(start), torch.tensor(stop)
    along = end - begin
    side = torch.stack([-along[1], along[0]]) / along.norm()
    flat = begin + share * along + bend * (4 * share * (1 - share)) * side
    return torch.cat([flat, 0.3 * share], 1)


def ring(middle: tuple[float, float], radius: tuple[float, float]) -> Tensor:
    angle = torch.linspace(0, 2 * torch.pi, NUM_POINTS)[:, None]
    flat = torch.tensor(middle) + torch.cat([angle.cos(), angle.sin()], 1) * torch.tensor(radius)
    flat[-1] = flat[0]
    return torch.cat([flat, torch.zeros(NUM_POINTS, 1)], 1)


def truth(batch: int = 2) -> list[MapElements]:
    """Frames of four elements: an open line, a ring, and two directed lines of which one leads to the other."""
    frames = []
    for number in range(batch):
        shift = 0.7 * number
        frames.append(
            elements(
                [
                    line((-7, -3 + shift), (6, -2 + shift), 0.8),
                    ring((3.2 - shift, 1.4), (2.2, 1.3)),
                    line((-7, 2 - shift), (-2, 2.5 - shift), -0.6),
                    line((-2, 2.5 - shift), (1, 0.5 - shift), 0.4),
                ],
                [0, 1, 2, 2],
                [False, True, False, False],
                [False, False, True, True],
            )
        )
    return frames
