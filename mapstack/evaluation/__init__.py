"""Scores of vector maps: pure functions per protocol, one :func:`evaluate`, and a thin MMEngine metric."""

from .alignment_metric import AlignmentMetric
from .change_detection import ChangeScores, JudgedPieces, score_changes
from .change_metric import ChangeMetric
from .comparison import compare, render_comparison
from .correction_metric import CorrectionMetric
from .map_metric import MapMetric
from .pooled import Bins
from .pose_metric import PoseMetric
from .protocols import PROTOCOLS, Protocol
from .reconstruction import ReconstructionError
from .result import Result
from .scoring import Options, evaluate
from .submission import open_submission, write_submission
from .visibility import VisibilityMetric

__all__ = [
    "PROTOCOLS",
    "AlignmentMetric",
    "Bins",
    "ChangeMetric",
    "ChangeScores",
    "CorrectionMetric",
    "JudgedPieces",
    "MapMetric",
    "Options",
    "PoseMetric",
    "Protocol",
    "ReconstructionError",
    "Result",
    "VisibilityMetric",
    "compare",
    "evaluate",
    "open_submission",
    "render_comparison",
    "score_changes",
    "write_submission",
]
