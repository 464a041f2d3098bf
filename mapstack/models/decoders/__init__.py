"""Polyline decoders over BEV features."""

from .maptr import MapTRDecoder
from .maptrv2 import MapTRv2Decoder
from .streammapnet import StreamMapNetDecoder
from .supermapnet import SuperMapNetDecoder

__all__ = ["MapTRDecoder", "MapTRv2Decoder", "StreamMapNetDecoder", "SuperMapNetDecoder"]
