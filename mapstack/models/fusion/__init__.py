"""Fusing BEV maps of several sensors; each module returns the fused map and what its ``loss`` wants."""

from .concat import ConcatFusion, ConvFusion
from .synergy import SynergyFusion

__all__ = ["ConcatFusion", "ConvFusion", "SynergyFusion"]
