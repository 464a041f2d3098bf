"""What MMEngine lacks: checked configs, safe and atomic checkpoints, exact resuming, a quiet runner."""

from .checkpoints import load_checkpoint_file, load_weights, save_weights
from .config import load_config
from .hooks import AtomicCheckpointHook, FiniteLossHook
from .log_processor import CompactLogProcessor
from .loops import ResumableTrainLoop
from .optim import AutocastOptimWrapper, GroupedOptimConstructor
from .pose_statistics import PoseStatisticsHook
from .runner import MapRunner, build_runner, enable_amp, evaluate_checkpoint
from .streaming import StreamTestLoop, StreamValLoop, predict_next

__all__ = [
    "AtomicCheckpointHook",
    "AutocastOptimWrapper",
    "CompactLogProcessor",
    "FiniteLossHook",
    "GroupedOptimConstructor",
    "MapRunner",
    "PoseStatisticsHook",
    "ResumableTrainLoop",
    "StreamTestLoop",
    "StreamValLoop",
    "build_runner",
    "enable_amp",
    "evaluate_checkpoint",
    "load_checkpoint_file",
    "load_config",
    "load_weights",
    "predict_next",
    "save_weights",
]
