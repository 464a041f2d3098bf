"""Maps that are there already, as vectors: encoded, and shown to BEV and decoder. See docs/PRIOR_ENCODERS.md."""

from .encoder import UnifiedVectorEncoder
from .parts import PriorOutput, RasterPrior, VectorPrior
from .pretraining import VectorPreprocessor, VectorPretraining
from .prior_maps import PriorMaps
from .queries import PriorQueries
from .sequence import PolylineSequenceEncoder

__all__ = [
    "PolylineSequenceEncoder",
    "PriorMaps",
    "PriorOutput",
    "PriorQueries",
    "RasterPrior",
    "UnifiedVectorEncoder",
    "VectorPreprocessor",
    "VectorPretraining",
    "VectorPrior",
]
