"""VectorMapNet: keypoints of each element, then its vertices one by one (docs/VECTORMAPNET.md)."""

from .codec import VertexCodec
from .context import GlobalContext, LocalContext
from .decoder import VectorMapNetDecoder
from .generation import Sampler, generate, generate_without_cache
from .generator import PolylineGenerator
from .matching import KeypointMatcher

__all__ = [
    "GlobalContext",
    "KeypointMatcher",
    "LocalContext",
    "PolylineGenerator",
    "Sampler",
    "VectorMapNetDecoder",
    "VertexCodec",
    "generate",
    "generate_without_cache",
]
