"""Polyline decoders over BEV features."""

from .maptr import MapTRDecoder
from .maptrv2 import MapTRv2Decoder

__all__ = ["MapTRDecoder", "MapTRv2Decoder"]
