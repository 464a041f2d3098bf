"""Read a config for a tool: checked, and with the packages it names made ready."""

from collections.abc import Mapping
from pathlib import Path

from mmengine import Config

from mapstack.engine.config_check import check_config
from mapstack.errors import ConfigError

__all__ = ["load_config"]


def load_config(path: str | Path, options: Mapping[str, object] | None = None) -> Config:
    """Read a Python config, change what ``options`` says, and refuse it if a key or type in it does not exist.

    Args:
        path: a config of ``configs/`` or one that names its ``_base_`` relative to itself.
        options: values by dotted key, as ``--cfg-options`` gives them.

    Raises:
        ConfigError: the file is missing or broken, or a key or type is unknown; it names the nearest right one.
    """
    path = Path(path)
    if not path.is_file():
        near = sorted(path.parent.glob("*.py")) if path.parent.is_dir() else []
        listing = f"; {path.parent} holds {', '.join(file.name for file in near)}" if near else ""
        raise ConfigError(f"{path}: no such config{listing}")
    try:
        cfg = Config.fromfile(str(path))
        cfg.merge_from_dict(dict(options or {}))
    except Exception as error:  # the config is a program: it can fail in any way
        raise ConfigError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error
    try:
        check_config(cfg.to_dict())
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return cfg
