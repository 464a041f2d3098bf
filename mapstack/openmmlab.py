"""mmdet3d and mmdet on an installation without compiled mmcv.

``mmcv-lite`` has no ``mmcv._ext``, and without it not one file of ``mmdet3d.models`` imports, although the parts
that our configs name (PillarFeatureNet, SECOND, FPN, ResNet ...) call none of its ops. A stand-in takes its place
only where the real module is missing; an op of it that is called says what to install.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from mapstack.errors import BackendUnavailable, ConfigError

__all__ = ["ensure_openmmlab", "install", "openmmlab_types"]

SCOPES = ("mmdet3d", "mmdet", "mmcv")
EXTENSION = "mmcv._ext"
REPLACEMENT = "pip uninstall mmcv-lite && pip install 'mmcv>=2.0.0rc4,<2.2', built for your PyTorch and CUDA"


class _MissingOps(ModuleType):
    """Any public attribute is an op that cannot run."""

    def __getattr__(self, name: str) -> Callable:
        if name.startswith("__"):  # the import system asks for __path__ and its like, and must hear no
            raise AttributeError(name)

        def op(*args: object, **kwargs: object) -> None:
            raise BackendUnavailable(
                f"mmcv's compiled op {name!r} was called and mmcv-lite has none; "
                f"install the full mmcv ({REPLACEMENT}), or choose a type in the config that does without this op"
            )

        op.__name__ = name
        return op


class _MissingOpsFinder(MetaPathFinder, Loader):
    """Finds ``mmcv._ext``; it is asked last, so a compiled one is always preferred."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The stand-in's spec for ``mmcv._ext``, None for every other name."""
        return ModuleSpec(fullname, self) if fullname == EXTENSION else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """A module whose every attribute is an op that raises."""
        return _MissingOps(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


def install() -> None:
    """Let ``mmcv._ext`` import from now on. Costs nothing, imports nothing, and may be called again."""
    if not any(isinstance(finder, _MissingOpsFinder) for finder in sys.meta_path):
        sys.meta_path.append(_MissingOpsFinder())


def openmmlab_types(config: object) -> Iterator[str]:
    """Every ``type`` within a config that belongs to mmdet3d, mmdet or mmcv."""
    if isinstance(config, Mapping):
        kind = config.get("type")
        if isinstance(kind, str) and kind.split(".")[0] in SCOPES:
            yield kind
        for value in config.values():
            yield from openmmlab_types(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from openmmlab_types(value)


def ensure_openmmlab(config: object) -> bool:
    """Make the mmdet3d, mmdet and mmcv types that ``config`` names buildable; True where it names any.

    Nothing of these packages is imported here: MMEngine's registries do so by scope once a type is built.

    Raises:
        ConfigError: a type is named whose package is not installed.
    """
    types = sorted(set(openmmlab_types(config)))
    for kind in types:
        scope = kind.split(".")[0]
        if importlib.util.find_spec(scope) is None:
            raise ConfigError(f"the config names {kind!r}, and {scope} is not installed; see requirements.txt")
    if types:
        install()
    return bool(types)
