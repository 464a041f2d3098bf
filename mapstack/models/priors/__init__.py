"""Maps that are there already, as vectors: encoded, and shown to BEV and decoder. See docs/PRIOR_ENCODERS.md."""

from .batch import PriorBatch, batch_priors

__all__ = ["PriorBatch", "batch_priors"]
