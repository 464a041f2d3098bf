"""Run an exported model with NumPy and ONNX Runtime alone: nothing here, or beneath it, imports PyTorch."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError

from .geojson import prediction_geojson
from .lanelet2 import prediction_lanelet2
from .metadata import METADATA_KEY, ModelMetadata
from .preparation import FramePreparation, prior_arrays
from .providers import Provider, open_session
from .sensors import LidarSweep, PriorVectors, SensorFrame
from .stream import StreamLimits, StreamMemory
from .tables import PoolTableCache, pillar_tables

__all__ = ["MapRuntime", "Prediction", "RuntimeResult"]

STATE, NEXT_STATE = "state_", "next_"
DTYPES = {"tensor(float)": np.float32, "tensor(bool)": np.bool_, "tensor(int64)": np.int64, "tensor(int32)": np.int32}


@dataclass(frozen=True)
class Prediction:
    """One frame's map elements, best first; N may be 0. The NumPy twin of MapElements, with its names.

    Args:
        points: (N, P, 2) float32 ego metres.
        labels: (N,) int64, index into the metadata's ``classes``.
        scores: (N,) float32 in [0, 1].
        scales: (N, P, 2) metres, the expected error of each coordinate; None where the model does not say.
        topology: (N, N) in [0, 1], confidence that element n leads to element m; None where the model does not say.
        vertices: N arrays (n_i, 2) ego metres, of a decoder that writes polylines of any length; None otherwise.
        pose_correction: (3,) x and y metres and yaw radians: how a prior placed by the frame's pose must move to lie
            where the sensors see it; None where the model does not say.
        pose_covariance: (3, 3) of that.
        contradicted: (M,) in [0, 1], that the sensors contradict each of the M prior vectors that the model was shown
            (nearest and longest first); None where the model does not say.
    """

    points: NDArray
    labels: NDArray
    scores: NDArray
    scales: NDArray | None = None
    topology: NDArray | None = None
    vertices: list[NDArray] | None = None
    pose_correction: NDArray | None = None
    pose_covariance: NDArray | None = None
    contradicted: NDArray | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class RuntimeResult:
    """What :meth:`MapRuntime.process` makes of one frame.

    Args:
        prediction: the elements.
        classes: their names in label order.
        frame: what they were seen in.
        broken: sensors that the frame lacked or that could not be used, with the reason.
        reset: why the stream started anew with this frame; None where it went on.
        stages_ms: time of each stage.
    """

    prediction: Prediction
    classes: tuple[str, ...]
    frame: SensorFrame
    broken: Mapping[str, str] = field(default_factory=dict)
    reset: str | None = None
    stages_ms: Mapping[str, float] = field(default_factory=dict)

    def geojson(self) -> dict:
        """A FeatureCollection in world metres, see :func:`mapstack.export.geojson.prediction_geojson`."""
        found, frame = self.prediction, self.frame
        lines = found.points if found.vertices is None else found.vertices
        return prediction_geojson(lines, found.labels, found.scores, self.classes, frame.world_from_ego, frame.name)

    def lanelet2(self, origin: tuple[float, float]) -> str:
        """A Lanelet2 file's text; ``origin`` is the (lon, lat) of the world frame's zero."""
        return prediction_lanelet2(self.geojson(), origin)


class MapRuntime:
    """An exported model, ready for raw sensor data (:meth:`process`) or for prepared inputs (:meth:`predict`).

    Args:
        path: what ``tools/export_onnx.py`` wrote.
        providers: execution providers in order, see :mod:`mapstack.export.providers`; one that is not installed is an
            error.
        num_threads: of the session; 0 leaves the choice to ONNX Runtime.
        resizer: what scales the images: "auto", "opencv" or "numpy", to the same bits.
        lenient: go without a sensor whose data cannot be used, and say so in the result; otherwise that is an error.
        limits: when a stream is forgotten.
        profile: prefix of a trace file of ONNX Runtime's; None for none.

    Attributes:
        metadata: what the file says about itself.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        providers: Sequence[Provider] = ("cpu",),
        num_threads: int = 0,
        resizer: str = "auto",
        lenient: bool = True,
        limits: StreamLimits | None = None,
        profile: Path | None = None,
    ) -> None:
        self._path = str(path)
        self._session = open_session(path, providers, num_threads, profile)
        self._inputs = {node.name: node for node in self._session.get_inputs()}
        self._output_names = [node.name for node in self._session.get_outputs()]
        properties = self._session.get_modelmeta().custom_metadata_map
        self.metadata = ModelMetadata.from_json(properties.get(METADATA_KEY), self._path)
        self.preparation = FramePreparation(self.metadata, resizer, lenient)
        limits = limits or StreamLimits()
        limits = replace(limits, max_gap_s=min(limits.max_gap_s, self.metadata.max_gap_s))
        self.memory = StreamMemory(limits, 1 if self.metadata.lidar is None else self.metadata.lidar.num_sweeps)
        pool = self.metadata.pool
        self.pool = None if pool is None else PoolTableCache(self.metadata.image_size, pool, self.metadata.grid)
        pillar_m = self.metadata.pillar_cell_m
        self._pillars = None if pillar_m is None else self.metadata.grid.with_cell(pillar_m)
        self._state_shapes = {
            name: tuple(self._inputs[STATE + name].shape[1:])
            for name in self.metadata.state
            if STATE + name in self._inputs
        }

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs that the graph kept, in its order."""
        return tuple(self._inputs)

    def reset(self) -> None:
        """Forget state and sweeps: the next frame starts a stream."""
        self.memory.reset()

    def add_sweep(self, sweep: LidarSweep) -> None:
        """Keep a LiDAR sweep from between two frames for the next ones to gather."""
        self.memory.add_sweep(sweep)

    def process(self, frame: SensorFrame, min_score: float = 0.0) -> RuntimeResult:
        """Prepare, run and read one frame of raw sensor data, continuing the stream where the frame can.

        Args:
            frame: what the sensors gave.
            min_score: elements below are left out.

        Raises:
            DataError: the frame cannot be used at all. The stream is then forgotten.
        """
        watch = _StopWatch()
        reset = self.memory.reason_to_reset(frame)
        if reset is not None:
            self.memory.reset()
        try:
            inputs, broken = self._sensor_inputs(frame)
        except DataError:
            self.memory.reset()
            raise
        watch.lap("prepare")
        inputs |= self.tables(inputs)
        watch.lap("tables")
        inputs |= self.memory.inputs(frame, self._state_shapes)
        answer = self.run(inputs)
        watch.lap("network")
        self.memory.remember(frame, {name: answer[NEXT_STATE + name] for name in self.metadata.state})
        (prediction,) = self.read(answer, min_score)
        watch.lap("read")
        return RuntimeResult(prediction, self.metadata.classes, frame, broken, reset, watch.laps_ms)

    def prepare(self, frame: SensorFrame) -> tuple[dict[str, NDArray], dict[str, str]]:
        """All inputs of the graph, a batch of one, from raw sensors and the stream so far; and the broken sensors."""
        inputs, broken = self._sensor_inputs(frame)
        return inputs | self.tables(inputs) | self.memory.inputs(frame, self._state_shapes), broken

    def _sensor_inputs(self, frame: SensorFrame) -> tuple[dict[str, NDArray], dict[str, str]]:
        inputs, broken = self.preparation(frame, self.memory.sweeps_before(frame))
        if "prior_points" in self._inputs and frame.prior is None:
            shape = (0, *self._inputs["prior_points"].shape[2:])
            nothing = np.zeros(0, np.int64)
            inputs |= prior_arrays(PriorVectors(np.zeros(shape, np.float32), nothing, nothing, np.zeros(0, np.float32)))
        return inputs, broken

    def tables(self, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """The gather tables that the graph takes beside prepared inputs; empty where it works them out itself."""
        tables = {} if self.pool is None else dict(self.pool.get(inputs))
        if self._pillars is not None:
            frames = len(inputs["images"] if self.metadata.num_cameras else inputs["batch_zeros"])
            tables |= pillar_tables(inputs["points"], frames, self._pillars)
        return tables

    def run(self, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run one batch.

        Args:
            inputs: every input of the graph by name; names that it does not have are left out, because an input that
                does not change the answer is not in the graph.

        Returns:
            ``scores`` (B, Q, K), ``polylines`` (B, Q, P, 2) ego metres, and what else the graph has.

        Raises:
            DataError: an input is missing, or has a shape or type that the model does not take.
        """
        missing = self._inputs.keys() - inputs.keys()
        if missing:
            raise DataError(f"{self._path} needs the inputs {sorted(missing)}; got {sorted(inputs)}")
        feed = {name: self._checked(name, np.asarray(inputs[name])) for name in self._inputs}
        return dict(zip(self._output_names, self._session.run(self._output_names, feed), strict=True))

    def predict(self, inputs: Mapping[str, NDArray], min_score: float = 0.0) -> list[Prediction]:
        """Run one prepared batch, without a past, and :meth:`read` the answer."""
        return self.read(self.run(inputs), min_score)

    def read(self, answer: Mapping[str, NDArray], min_score: float = 0.0) -> list[Prediction]:
        """Read what :meth:`run` returned as the model's own ``predict`` does.

        The Q best pairs of query and class are kept, best first, those of at least ``min_score``; points outside the
        patch are moved to its edge.
        """
        low_x, low_y, high_x, high_y = self.metadata.grid.box_xy
        predictions = []
        for frame, (scores, points) in enumerate(zip(answer["scores"], answer["polylines"], strict=True)):
            num_queries, num_classes = scores.shape
            order = np.argsort(-scores, axis=None, kind="stable")[:num_queries]
            order = order[scores.flat[order] >= min_score]
            query = order // num_classes
            inside = np.clip(points[query], (low_x, low_y), (high_x, high_y)).astype(points.dtype)
            scales = answer["scales"][frame][query] if "scales" in answer else None
            topology = answer["topology"][frame][np.ix_(query, query)] if "topology" in answer else None
            vertices = None
            if "vertices" in answer:
                lines, counts = answer["vertices"][frame][query], answer["counts"][frame][query]
                vertices = [line[:count] for line, count in zip(lines, counts, strict=True)]
            keys = ("pose_correction", "pose_covariance", "contradicted")
            about_prior = {key: answer[key][frame] for key in keys if key in answer}
            labels, kept = order % num_classes, scores.flat[order]
            predictions.append(Prediction(inside, labels, kept, scales, topology, vertices, **about_prior))
        return predictions

    def end_profiling(self) -> Path:
        """Stop the trace that ``profile`` asked for; its file."""
        return Path(self._session.end_profiling())

    def _checked(self, name: str, array: NDArray) -> NDArray:
        node = self._inputs[name]
        fits = len(array.shape) == len(node.shape) and all(
            not isinstance(wanted, int) or wanted == size for wanted, size in zip(node.shape, array.shape, strict=True)
        )
        kind = DTYPES.get(node.type)
        if not fits or (kind is not None and array.dtype != kind):
            raise DataError(f"{name}: the model takes {node.shape} {node.type}, got {array.shape} {array.dtype}")
        return array


class _StopWatch:
    """Milliseconds between calls of :meth:`lap`."""

    def __init__(self) -> None:
        self.laps_ms: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps_ms[name], self._since = (now - self._since) * 1e3, now
