"""MapTR's hierarchical queries (ICLR 2023), attention decoupled as in MapTRv2 (IJCV 2024), begun at BEV proposals."""

from torch import nn

from mapstack.registry import MODELS

from .layers import DecoupledLayer
from .refining import RefiningDecoder

__all__ = ["MapTRDecoder"]


@MODELS.register_module()
class MapTRDecoder(RefiningDecoder):
    """Polylines from BEV features.

    A query is an element x point pair. Its element part comes from the BEV cell that proposed the element,
    its point part is learned; its reference point is the proposed point, refined layer by layer. See
    :class:`RefiningDecoder` for the arguments.
    """

    def make_layer(self) -> nn.Module:
        """Attention within and between elements, and to the BEV."""
        return DecoupledLayer(self.grid, self.embed_dims, self.num_heads, self.num_samples)
