"""Which query answers for which map element, and in which of its point orders."""

from .hungarian import FORBIDDEN, Assignment, PolylineMatcher, assign, class_cost, order_costs
from .targets import TargetBatch, batch_targets

__all__ = [
    "FORBIDDEN",
    "Assignment",
    "PolylineMatcher",
    "TargetBatch",
    "assign",
    "batch_targets",
    "class_cost",
    "order_costs",
]
