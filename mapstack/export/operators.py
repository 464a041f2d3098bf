"""Which operators of a graph TensorRT's ONNX parser does not take, by the table in docs/TENSORRT_OPERATORS.md."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from mapstack.errors import DataError

__all__ = ["OPERATOR_TABLE", "read_operator_table", "unsupported_operators"]

OPERATOR_TABLE = Path(__file__).parents[2] / "docs/TENSORRT_OPERATORS.md"
ROW = re.compile(r"^\| (\w+) \|(.*)\|$")
STANDARD_DOMAINS = ("", "ai.onnx")


def read_operator_table(path: Path = OPERATOR_TABLE) -> dict[str, str]:
    """Operators that TensorRT takes, each with the text of its restriction."""
    if not path.is_file():
        raise DataError(f"no operator table at {path}; it is part of the source tree, not of an installed package")
    rows = (ROW.match(line) for line in path.read_text(encoding="utf-8").splitlines())
    table = {row[1]: row[2].strip() for row in rows if row}
    table.pop("operator", None)
    return table


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside of its loops and branches."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graphs(attribute.g)


class _Graph:
    """Nodes, constants and ranks of a graph and of all inside it; the exporter gives every value a name of its own."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graphs = list(_graphs(model.graph))
        self.nodes = [node for graph in graphs for node in graph.node]
        self.constants = {t.name: numpy_helper.to_array(t) for graph in graphs for t in graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        infos = [info for graph in graphs for info in (*graph.value_info, *graph.input)]
        shaped = [info for info in infos if info.type.tensor_type.HasField("shape")]
        self.ranks = {info.name: len(info.type.tensor_type.shape.dim) for info in shaped}

    def constant(self, node: onnx.NodeProto, place: int) -> np.ndarray | None:
        """An input's value; None where it is not known before the graph runs."""
        return self.constants.get(node.input[place]) if place < len(node.input) else None


def _breach(graph: _Graph, node: onnx.NodeProto, restriction: str) -> str | None:
    """How a node breaks the restrictions that are checked."""
    limit = re.search(r"`k_below` (\d+)", restriction)
    if limit:
        k = graph.constant(node, 1)
        if k is None or int(k.reshape(-1)[0]) >= int(limit[1]):
            return f"K is {'not a constant' if k is None else int(k.reshape(-1)[0])}, must be below {limit[1]}"
    if "`reduction_none`" in restriction:
        reduction = next((a.s.decode() for a in node.attribute if a.name == "reduction"), "none")
        if reduction != "none":
            return f"reduction is {reduction}"
    if "`axes_initializer`" in restriction and len(node.input) > 1 and graph.constant(node, 1) is None:
        return "axes are no constant"
    rank = re.search(r"`rank` (\d+)", restriction)
    if rank and graph.ranks.get(node.input[0], int(rank[1])) != int(rank[1]):
        return f"its input has {graph.ranks[node.input[0]]} axes, not {rank[1]}"
    return _quantisation_breach(graph, node) if "`zero_point_zero`" in restriction else None


def _quantisation_breach(graph: _Graph, node: onnx.NodeProto) -> str | None:
    zero_point = graph.constant(node, 2)
    if zero_point is None:
        return "its zero point is no constant"
    if zero_point.dtype == np.uint8 or zero_point.any():
        return f"its zero point is {zero_point.dtype}, up to {int(np.abs(zero_point.astype(int)).max())}"
    return None


def unsupported_operators(model: Path | onnx.ModelProto, table: Path = OPERATOR_TABLE) -> dict[str, int]:
    """What TensorRT does not take, with how often it stands in the graph; empty when it takes everything.

    Args:
        model: an ONNX file, or what was read of it.
        table: see docs/TENSORRT_OPERATORS.md.
    """
    supported = read_operator_table(table)
    graph = _Graph(onnx.load(model) if isinstance(model, Path) else model)
    found: Counter[str] = Counter()
    for node in graph.nodes:
        name = node.op_type if node.domain in STANDARD_DOMAINS else f"{node.domain}::{node.op_type}"
        if name not in supported:
            found[name] += 1
        elif reason := _breach(graph, node, supported[name]):
            found[f"{name} ({reason})"] += 1
    return dict(found)
