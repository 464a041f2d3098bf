"""Polyline decoders over BEV features."""

from .maptr import MapTRDecoder

__all__ = ["MapTRDecoder"]
