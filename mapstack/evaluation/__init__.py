"""Scores of vector maps: pure functions per protocol, one :func:`evaluate`, and a thin MMEngine metric."""

from .comparison import compare, render_comparison
from .map_metric import MapMetric
from .pooled import Bins
from .protocols import PROTOCOLS, Protocol
from .result import Result
from .scoring import Options, evaluate
from .submission import open_submission, write_submission

__all__ = [
    "PROTOCOLS",
    "Bins",
    "MapMetric",
    "Options",
    "Protocol",
    "Result",
    "compare",
    "evaluate",
    "open_submission",
    "render_comparison",
    "write_submission",
]
