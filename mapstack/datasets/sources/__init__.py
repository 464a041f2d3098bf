"""Readers of recordings: each has ``read_frames(root, ...)``, frames as :mod:`mapstack.datasets.index` stores them."""

from .broken import BrokenFrame, keep_sound

__all__ = ["BrokenFrame", "keep_sound"]
