"""Prior maps made up on the patch of the tiny decoders, 16 m x 8 m."""

import torch
from torch import Tensor, nn

from mapstack.models.building import build_part
from mapstack.models.priors.batch import prior_inputs, priors_of
from mapstack.structures import PriorBatch, PriorMap
from mapstack.structures.prior_map import PRIOR_CLASSES, PRIOR_SOURCES, PRIOR_TAGS
from tests.models.decoders.problems import CHANNELS, GRID, NUM_CLASSES, NUM_POINTS

ENCODER = {"type": "UnifiedVectorEncoder", "num_points": NUM_POINTS, "embed_dims": 16}
SEQUENCE = {"type": "PolylineSequenceEncoder", "embed_dims": 16, "num_layers": 2}
PARTS: dict[str, dict] = {
    "unified": {
        "type": "VectorPrior",
        "encoder": ENCODER,
        "attention": {"num_heads": 2},
        "queries": {"max_queries": 4},
        "change": {"hidden": 16},
    },
    "as published": {
        "type": "VectorPrior",
        "encoder": {**ENCODER, "between": "points"},
        "queries": {"max_queries": 4, "operator": "replace", "reference": "own"},
    },
    "polyline": {"type": "VectorPrior", "encoder": SEQUENCE, "attention": {"num_heads": 2, "local": False}},
    "raster": {"type": "RasterPrior", "channels": (8, 8)},
}


def prior_map(count: int, seed: int = 0, num_points: int = NUM_POINTS) -> PriorMap:
    """``count`` wandering lines of all classes and sources."""
    generator = torch.Generator().manual_seed(seed)
    start = (torch.rand(count, 1, 2, generator=generator) - 0.5) * torch.tensor([14.0, 7.0])
    return PriorMap(
        points=start + torch.randn(count, num_points, 2, generator=generator).cumsum(1) * 0.4,
        labels=torch.randint(len(PRIOR_CLASSES), (count,), generator=generator),
        sources=torch.randint(len(PRIOR_SOURCES), (count,), generator=generator),
        confidence=torch.rand(count, generator=generator),
        tags=torch.rand(count, len(PRIOR_TAGS), generator=generator),
        closed=torch.zeros(count, dtype=torch.bool),
        directed=torch.zeros(count, dtype=torch.bool),
        elements=torch.arange(count),
        changed=torch.randint(-1, 2, (count,), generator=generator),
    )


def batch(*counts: int, seed: int = 0, limit: int | None = None) -> PriorBatch:
    """The priors of frames that have so many."""
    return priors_of(prior_inputs([prior_map(count, seed + i) for i, count in enumerate(counts)], limit))


def build_prior(*names: str, decoder_dims: int | None = 16, **changes: object) -> nn.Module:
    """A :class:`PriorMaps` of :data:`PARTS`; the same for every call. ``changes`` are to the first part."""
    torch.manual_seed(0)
    parts = {name.replace(" ", "_"): dict(PARTS[name]) for name in names}
    parts[names[0].replace(" ", "_")] |= changes
    shared = {"grid": GRID, "cell_m": 1.0, "in_channels": CHANNELS, "num_classes": NUM_CLASSES}
    return build_part({"type": "PriorMaps", "parts": parts}, {**shared, "decoder_dims": decoder_dims})


def wake(model: nn.Module) -> None:
    """Fill what starts at zero, as training would, so that a test sees all of the model at work."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))


def gap(first: Tensor, second: Tensor) -> float:
    """The largest difference."""
    return float((first - second).detach().abs().max())
