"""Thousands of frames, with everything that goes wrong on a vehicle in between: crashes, leaks, stale memories."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mapstack.errors import DataError

from .runtime import MapRuntime, RuntimeResult
from .sensors import SensorFrame

__all__ = ["FAULTS", "SoakReport", "resident_mb", "soak"]

Fault = Callable[[SensorFrame, np.random.Generator], SensorFrame]
FRAME_NS = 500_000_000
WARM_UP = 0.1  # share of the frames before memory is first read: arenas grow to their size


def _with_camera(frame: SensorFrame, rng: np.random.Generator, **changes: object) -> SensorFrame:
    if not frame.cameras:
        return frame
    name = sorted(frame.cameras)[rng.integers(len(frame.cameras))]
    return replace(frame, cameras={**frame.cameras, name: replace(frame.cameras[name], **changes)})


def _without_camera(frame: SensorFrame, rng: np.random.Generator) -> SensorFrame:
    left = dict(frame.cameras)
    if left:
        left.pop(sorted(left)[rng.integers(len(left))])
    return replace(frame, cameras=left)


def _with_points(frame: SensorFrame, points: object) -> SensorFrame:
    return frame if frame.lidar is None else replace(frame, lidar=replace(frame.lidar, points=points))


def _lost_returns(frame: SensorFrame, rng: np.random.Generator) -> SensorFrame:
    if frame.lidar is None:
        return frame
    points = frame.lidar.points.copy()
    points[rng.integers(len(points), size=5), rng.integers(3)] = np.nan
    return _with_points(frame, points)


def _later(frame: SensorFrame, seconds: float) -> SensorFrame:
    return replace(frame, timestamp_ns=frame.timestamp_ns + round(seconds * 1e9))


def _elsewhere(frame: SensorFrame, moved_m: float) -> SensorFrame:
    pose = frame.world_from_ego.copy()
    pose[0, 3] += moved_m
    return replace(frame, world_from_ego=pose)


# What is done to a frame. Those that begin with "jump" must make the stream start anew; "nothing" must be refused.
FAULTS: dict[str, Fault] = {
    "image torn": lambda frame, rng: _with_camera(frame, rng, image=np.zeros((7, 9), np.uint8)),
    "image of floats": lambda frame, rng: _with_camera(frame, rng, image=np.full((8, 8, 3), np.nan)),
    "image empty": lambda frame, rng: _with_camera(frame, rng, image=np.zeros((0, 0, 3), np.uint8)),
    "image of another size": lambda frame, rng: _with_camera(frame, rng, image=np.zeros((33, 57, 3), np.uint8)),
    "camera missing": _without_camera,
    "intrinsics singular": lambda frame, rng: _with_camera(frame, rng, intrinsics=np.zeros((3, 3))),
    "extrinsics not finite": lambda frame, rng: _with_camera(frame, rng, ego_from_camera=np.full((4, 4), np.inf)),
    "no camera": lambda frame, _: replace(frame, cameras={}),
    "no lidar": lambda frame, _: replace(frame, lidar=None),
    "lidar empty": lambda frame, _: _with_points(frame, np.zeros((0, 4), np.float32)),
    "lidar torn": lambda frame, _: _with_points(frame, np.zeros((10, 2), np.float32)),
    "lidar not finite": _lost_returns,
    "lidar far away": lambda frame, _: _with_points(frame, np.full((100, 4), 1e30, np.float32)),
    "jump ahead in time": lambda frame, _: _later(frame, 60.0),
    "jump back in time": lambda frame, _: _later(frame, -60.0),
    "jump of the pose": lambda frame, _: _elsewhere(frame, 500.0),
    "jump to another scene": lambda frame, rng: replace(frame, scene=f"other {rng.integers(1 << 30)}"),
    "nothing": lambda frame, _: replace(frame, cameras={}, lidar=None),
    "nothing: pose not finite": lambda frame, _: replace(frame, world_from_ego=np.full((4, 4), np.nan)),
}


@dataclass
class SoakReport:
    """What came out.

    Args:
        frames: run.
        refused: frames that raised a DataError.
        resets: streams that started anew.
        faults: how often each was planted.
        fresh_checks: resets after which the answer was compared with a runtime that never saw a frame.
        memory_mb: resident memory after the warm-up and at the end.
        wrong: what should not have happened, one line each.
    """

    frames: int = 0
    refused: int = 0
    resets: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    fresh_checks: int = 0
    memory_mb: tuple[float, float] = (0.0, 0.0)
    wrong: list[str] = field(default_factory=list)

    @property
    def growth_mb(self) -> float:
        """Resident memory gained after the warm-up."""
        return self.memory_mb[1] - self.memory_mb[0]


def resident_mb() -> float:
    """Resident memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def soak(
    runtime: MapRuntime,
    fresh: MapRuntime,
    frames: Sequence[SensorFrame],
    count: int,
    *,
    fault_share: float = 0.3,
    fresh_share: float = 0.05,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> SoakReport:
    """Run ``count`` frames, the given ones over and over along an endless straight drive, with faults in between.

    Args:
        runtime: the one that is tested.
        fresh: of the same model: is reset before each comparison.
        frames: sound ones; their times, poses and scenes are replaced.
        count: frames to run.
        fault_share: of the frames that get a fault.
        fresh_share: of the resets after which the answer is compared with ``fresh``.
        seed: of the faults.
        progress: is told the number of frames done.
    """
    rng, report, was_spoilt = np.random.default_rng(seed), SoakReport(), True
    names, first_mb = list(FAULTS), 0.0
    for number in range(count):
        frame = _on_the_drive(frames[number % len(frames)], number)
        fault = names[rng.integers(len(names))] if rng.random() < fault_share else ""
        if fault:
            frame = FAULTS[fault](frame, rng)
            report.faults[fault] += 1
        try:
            result = runtime.process(frame)
        except DataError:
            report.refused += 1
            if not fault:
                report.wrong.append(f"frame {number}: sound and refused")
        else:
            report.wrong += [f"frame {number} ({fault or 'sound'}): {line}" for line in _faults_in(result, fault)]
            if result.reset is not None:
                report.resets += 1
                if rng.random() < fresh_share:
                    report.fresh_checks += 1
                    report.wrong += _stale_state(result, fresh, number)
            elif fault.startswith("jump") and not was_spoilt:
                report.wrong.append(f"frame {number} ({fault}): the stream went on")
        # After a jump the next sound frame jumps back; after a refusal there is no past to jump from.
        was_spoilt = bool(fault)
        report.frames += 1
        if number == int(WARM_UP * count):
            first_mb = resident_mb()
        progress(number)
    report.memory_mb = (first_mb, resident_mb())
    return report


def _on_the_drive(frame: SensorFrame, number: int) -> SensorFrame:
    pose = np.eye(4)
    pose[:3, 3] = (1000.0 + 2.0 * number, 500.0, 0.0)
    time_ns, lidar = (number + 1) * FRAME_NS, frame.lidar
    if lidar is not None:
        lidar = replace(lidar, timestamp_ns=time_ns, world_from_ego=pose)
    return replace(frame, timestamp_ns=time_ns, world_from_ego=pose, lidar=lidar, sweeps=None, scene="soak")


def _faults_in(result: RuntimeResult, fault: str) -> list[str]:
    found = result.prediction
    lines = []
    if not (np.isfinite(found.points).all() and np.isfinite(found.scores).all()):
        lines.append("the answer is not finite")
    if fault.startswith("nothing"):
        lines.append("should have been refused")
    return lines


def _stale_state(result: RuntimeResult, fresh: MapRuntime, number: int) -> list[str]:
    fresh.reset()
    expected = fresh.process(result.frame).prediction
    same = all(
        np.array_equal(getattr(result.prediction, name), getattr(expected, name))
        for name in ("points", "labels", "scores")
    )
    return [] if same else [f"frame {number}: after a reset the answer is not that of a fresh runtime"]
