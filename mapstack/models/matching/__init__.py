"""Which query answers for which map element, and in which of its point orders."""

from .hungarian import Assignment, PolylineMatcher
from .targets import TargetBatch, batch_targets

__all__ = ["Assignment", "PolylineMatcher", "TargetBatch", "batch_targets"]
