"""The rooms import each other only in the direction that the table gives, and `import mapstack` stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mapstack"
LEAVES = {"registry", "errors", "openmmlab"}
ALLOWED = {
    "geometry": set(),
    "ops": set(),
    "maps": {"geometry"},
    "structures": {"geometry", "maps"},
    "datasets": {"geometry", "maps", "structures"},
    "models": {"geometry", "ops", "structures"},
    "evaluation": {"geometry", "maps", "structures"},
    "visualization": {"geometry", "maps", "structures"},
    "engine": {"structures", "visualization"},
    "export": {"geometry", "models", "structures"},
}
IMPORT_LIMIT_S = 1.0


def imported_names(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Every dotted name that the code of ``module`` imports, wherever in the file, relative ones resolved."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            # The first literal part of the name is enough: f"mapstack.ops.{op}" names its room.
            literal = next((part.value for part in ast.walk(node) if isinstance(part, ast.Constant)), "")
            if isinstance(literal, str) and literal:
                yield node.lineno, literal


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """What ``source``, were it the module ``module``, imports against the rules; empty when it keeps them."""
    own_room = module.split(".")[1] if "." in module else ""
    found = []
    for line, name in imported_names(ast.parse(source), module, is_package):
        top, _, rest = name.partition(".")
        room = rest.split(".")[0]
        if top == "matplotlib" and own_room != "visualization":
            found.append(f"{module}:{line} imports matplotlib, which only visualization may")
        if module == "mapstack.export.runtime" and (top == "torch" or room in {"models", "structures"}):
            found.append(f"{module}:{line} imports {name}; the runtime goes without PyTorch")
        if top != "mapstack" or room in LEAVES | {own_room, "", "__version__"}:
            continue
        if room not in ALLOWED.get(own_room, set()):
            found.append(f"{module}:{line} imports mapstack.{room}, which {own_room or 'the package'} may not")
    return found


def test_rooms_keep_the_import_table() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        found += violations(path.read_text(), module, is_package)
    assert not found, "\n".join(found)


def test_every_room_is_in_the_table() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == set(ALLOWED)
    assert {path.stem for path in PACKAGE.glob("*.py")} == LEAVES | {"__init__"}


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("import mapstack.models", "mapstack.datasets.index"),
        ("from mapstack import models", "mapstack.datasets.index"),
        ("from mapstack.models import Mapper", "mapstack.evaluation.metric"),
        ("from ..evaluation import MapMetric", "mapstack.models.mapper"),
        ("from ...models import Mapper", "mapstack.datasets.transforms.load"),
        ("from .. import engine", "mapstack.visualization.report"),
        ("def f():\n    from mapstack.datasets import MapDataset", "mapstack.engine.runner"),
        ("if True:\n    import mapstack.structures as s", "mapstack.geometry.grid"),
        ("from importlib import import_module\nimport_module('mapstack.maps.osm')", "mapstack.ops.bev_pool"),
        ("import importlib\nimportlib.import_module(f'mapstack.models.{name}')", "mapstack.datasets.index"),
        ("from mapstack.models import Mapper", "mapstack.registry"),
        ("import matplotlib.pyplot as plt", "mapstack.geometry.polyline"),
        ("def f():\n    from matplotlib import pyplot", "mapstack.engine.hooks"),
        ("import torch", "mapstack.export.runtime"),
        ("from torch import nn", "mapstack.export.runtime"),
        ("from mapstack.structures import MapElements", "mapstack.export.runtime"),
    ],
)
def test_the_checker_sees_a_planted_violation(source: str, module: str) -> None:
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from mapstack.registry import MODELS\nfrom mapstack.errors import DataError", "mapstack.geometry.grid"),
        ("from . import reference\nfrom ..bev_pool import bev_pool", "mapstack.ops.voxelize.torch"),
        ("from mapstack.geometry import BEVGrid\nimport torch", "mapstack.models.mapper"),
        ("import matplotlib", "mapstack.visualization.curves"),
        ("from mapstack.geometry.grid import BEVGrid\nimport numpy", "mapstack.export.runtime"),
    ],
)
def test_the_checker_lets_pass_what_is_allowed(source: str, module: str) -> None:
    assert violations(source, module) == []


def test_relative_imports_of_a_package_start_at_itself() -> None:
    assert violations("from .structures import x", "mapstack.models", is_package=True) == []
    assert len(violations("from ..datasets import x", "mapstack.models", is_package=True)) == 1


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120).stdout


def test_importing_mapstack_is_quick() -> None:
    code = "import time; t = time.perf_counter(); import mapstack, mapstack.registry; print(time.perf_counter() - t)"
    # The best of three: another process on the machine can only make it slower.
    assert min(float(run_python(code)) for _ in range(3)) < IMPORT_LIMIT_S


def test_importing_the_rooms_leaves_heavy_packages_alone() -> None:
    heavy = ("mmdet3d", "mmdet", "mmcv", "matplotlib", "open3d")
    code = "import sys, mapstack, mapstack.registry, mapstack.engine, mapstack.models, mapstack.structures\n"
    code += f"print([name for name in {heavy} if name in sys.modules])"
    assert run_python(code).strip() == "[]"


def test_the_runtime_loads_no_torch() -> None:
    assert run_python("import sys, mapstack.export.runtime; print('torch' in sys.modules)").strip() == "False"
