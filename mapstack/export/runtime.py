"""Run an exported model with NumPy and ONNX Runtime alone: nothing here, or beneath it, imports PyTorch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mapstack.errors import DataError

from .metadata import METADATA_KEY, ModelMetadata

__all__ = ["MapRuntime", "Prediction"]


@dataclass(frozen=True)
class Prediction:
    """One frame's map elements, best first; N may be 0.

    Args:
        points: (N, P, 2) float32 ego metres.
        labels: (N,) int64, index into the metadata's ``classes``.
        scores: (N,) float32 in [0, 1].
        scales: (N, P, 2) float32 metres, the Laplace scale of each coordinate, where the model predicts it.
        topology: (N, N) float32 in [0, 1], row leads to column, where the model predicts it; of centerlines alone it
            means something.
    """

    points: NDArray
    labels: NDArray
    scores: NDArray
    scales: NDArray | None = None
    topology: NDArray | None = None

    def __len__(self) -> int:
        return len(self.labels)


class MapRuntime:
    """An exported model, ready to run prepared inputs.

    Args:
        path: what ``tools/export_onnx.py`` wrote.
        providers: ONNX Runtime's execution providers by name, tried in order; one that is not installed is an error.
        num_threads: of the session; 0 leaves the choice to ONNX Runtime.

    Attributes:
        metadata: what the file says about itself.
        input_names: in the graph's order.
    """

    def __init__(
        self, path: Path | str, *, providers: Sequence[str] = ("CPUExecutionProvider",), num_threads: int = 0
    ) -> None:
        self._path = str(path)
        missing = set(providers) - set(onnxruntime.get_available_providers())
        if missing:
            available = ", ".join(onnxruntime.get_available_providers())
            raise DataError(f"execution providers {sorted(missing)} are not installed; available: {available}")
        if not Path(path).is_file():
            raise DataError(f"no model at {path}; write it with tools/export_onnx.py")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        try:
            self._session = onnxruntime.InferenceSession(self._path, options, providers=list(providers))
        except Exception as error:  # ONNX Runtime's own error classes share no base but this
            raise DataError(f"{path} is not a model that ONNX Runtime can load: {error}") from error
        self._inputs = {node.name: node for node in self._session.get_inputs()}
        self._output_names = [node.name for node in self._session.get_outputs()]
        properties = self._session.get_modelmeta().custom_metadata_map
        self.metadata = ModelMetadata.from_json(properties.get(METADATA_KEY), self._path)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs that the graph kept, in its order."""
        return tuple(self._inputs)

    def run(self, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run one batch.

        Args:
            inputs: every input of the graph by name; names that it does not have are left out, because an input that
                does not change the answer is not in the graph.

        Returns:
            ``scores`` (B, Q, K), ``polylines`` (B, Q, P, 2) ego metres, and ``scales`` (B, Q, P, 2) and ``topology``
            (B, Q, Q) where the model has them.

        Raises:
            DataError: an input is missing, or has a shape or type that the model does not take.
        """
        missing = self._inputs.keys() - inputs.keys()
        if missing:
            raise DataError(f"{self._path} needs the inputs {sorted(missing)}; got {sorted(inputs)}")
        feed = {name: self._checked(name, np.asarray(inputs[name])) for name in self._inputs}
        return dict(zip(self._output_names, self._session.run(self._output_names, feed), strict=True))

    def predict(self, inputs: Mapping[str, NDArray], min_score: float = 0.0) -> list[Prediction]:
        """Run one batch and read the answer as the model's own ``predict`` does.

        The Q best pairs of query and class are kept, best first, those of at least ``min_score``; points outside the
        patch are moved to its edge.
        """
        answer = self.run(inputs)
        low_x, low_y, high_x, high_y = self.metadata.grid.box_xy
        predictions = []
        for frame, (scores, points) in enumerate(zip(answer["scores"], answer["polylines"], strict=True)):
            num_queries, num_classes = scores.shape
            order = np.argsort(-scores, axis=None, kind="stable")[:num_queries]
            order = order[scores.flat[order] >= min_score]
            query = order // num_classes
            inside = points[query]
            inside[..., :2] = np.clip(inside[..., :2], (low_x, low_y), (high_x, high_y))
            scales = answer["scales"][frame][query] if "scales" in answer else None
            topology = answer["topology"][frame][np.ix_(query, query)] if "topology" in answer else None
            predictions.append(Prediction(inside, order % num_classes, scores.flat[order], scales, topology))
        return predictions

    def _checked(self, name: str, array: NDArray) -> NDArray:
        node = self._inputs[name]
        fits = len(array.shape) == len(node.shape) and all(
            not isinstance(wanted, int) or wanted == size for wanted, size in zip(node.shape, array.shape, strict=True)
        )
        kind = {"tensor(float)": np.float32, "tensor(bool)": np.bool_, "tensor(int64)": np.int64}.get(node.type)
        if not fits or (kind is not None and array.dtype != kind):
            raise DataError(f"{name}: the model takes {node.shape} {node.type}, got {array.shape} {array.dtype}")
        return array
