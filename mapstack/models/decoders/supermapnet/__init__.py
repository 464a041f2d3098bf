"""SuperMapNet's decoder: element masks, pivots of dynamic number, interaction at three levels."""

from .decoder import SuperMapNetDecoder

__all__ = ["SuperMapNetDecoder"]
