"""The errors that mapstack raises on purpose.

Every message names what was wrong (file, token, column), and the command or edit that mends it.
"""

__all__ = [
    "BackendUnavailable",
    "ConfigError",
    "DataError",
    "ExportError",
    "IndexVersionError",
    "MapstackError",
    "TrainingDiverged",
]


class MapstackError(Exception):
    """Base of the errors below, so that a caller can catch them all."""


class DataError(MapstackError, ValueError):
    """A file, a frame or a calibration cannot be used; the message names the path or the token."""


class IndexVersionError(DataError):
    """An index was written by another version of the preparation tools."""


class ConfigError(MapstackError, ValueError):
    """A config names a key, class or option that does not exist."""


class BackendUnavailable(MapstackError, RuntimeError):
    """A backend was named and cannot run here; the message says why."""


class ExportError(MapstackError, RuntimeError):
    """A model cannot be exported, or its export disagrees with PyTorch; the message names the module."""


class TrainingDiverged(MapstackError, RuntimeError):
    """A loss is no longer a finite number; the message names the frames and the loss."""
