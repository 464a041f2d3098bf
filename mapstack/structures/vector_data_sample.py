"""VectorDataSample: the vectors of one place, as they are and as they were spoilt, for learning from vectors alone."""

from mmengine.structures import BaseDataElement

__all__ = ["SPOILT", "VectorDataSample"]

# What was done to a point: nothing, its own coordinates hidden or moved, or those of its whole vector.
SPOILT = ("kept", "point_hidden", "point_moved", "vector_hidden", "vector_moved")


class VectorDataSample(BaseDataElement):
    """N vectors of P points.

    Metainfo: ``token``.
    Data: ``points`` (N, P, 2) ego metres, the truth; ``given`` (N, P, 2) as a model sees them; ``spoilt`` (N, P) int64,
    index into :data:`SPOILT`; ``pred`` (N, P, 2) restored by a model.
    """
