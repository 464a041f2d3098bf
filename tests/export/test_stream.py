"""What a stream carries on, and what makes it forget."""

from dataclasses import replace

import numpy as np
import pytest

from mapstack.export.sensors import LidarSweep, SensorFrame
from mapstack.export.stream import StreamLimits, StreamMemory

SHAPES = {"bev": (3, 2)}
STATE = {"bev": np.ones((1, 3, 2), np.float32)}


def pose(x: float = 0.0, yaw_deg: float = 0.0) -> np.ndarray:
    yaw = np.deg2rad(yaw_deg)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    matrix[:3, 3] = (1000.0 + x, 2000.0, 5.0)
    return matrix


def frame(time_s: float = 0.0, x: float = 0.0, yaw_deg: float = 0.0, scene: str = "a") -> SensorFrame:
    sweep = LidarSweep(np.ones((2, 4), np.float32), np.eye(4), 255.0, round(time_s * 1e9), pose(x, yaw_deg))
    return SensorFrame(round(time_s * 1e9), pose(x, yaw_deg), lidar=sweep, scene=scene)


@pytest.fixture
def memory() -> StreamMemory:
    memory = StreamMemory(StreamLimits(), num_sweeps=3)
    memory.remember(frame(), STATE)
    return memory


def test_a_frame_that_follows_gets_state_motion_and_sweeps(memory: StreamMemory) -> None:
    following = frame(0.5, x=4.0, yaw_deg=5.0)
    assert memory.reason_to_reset(following) is None
    arrays = memory.inputs(following, SHAPES)
    assert arrays["state_valid"].tolist() == [True] and arrays["state_bev"] is STATE["bev"]
    np.testing.assert_allclose(arrays["previous_from_current"][0, :2, 3], (4.0, 0.0), atol=1e-5)
    np.testing.assert_allclose(arrays["previous_from_current"][0, 1, 0], np.sin(np.deg2rad(5.0)), atol=1e-6)
    assert [sweep.timestamp_ns for sweep in memory.sweeps_before(following)] == [0]


@pytest.mark.parametrize(
    ("following", "reason"),
    [
        (frame(2.0), "time jumped by 2.000 s"),
        (frame(-0.1), "time jumped by -0.100 s"),
        (frame(0.0), "time jumped by 0.000 s"),
        (frame(0.1, x=50.0), "the pose jumped by 50.0 m in 0.100 s"),
        (frame(0.1, yaw_deg=90.0), "the heading jumped by 90 degrees"),
        (frame(0.1, scene="b"), "scene 'b' after 'a'"),
    ],
)
def test_a_jump_is_a_reason_to_forget(memory: StreamMemory, following: SensorFrame, reason: str) -> None:
    assert reason in memory.reason_to_reset(following)
    memory.reset()
    arrays = memory.inputs(following, SHAPES)
    assert arrays["state_valid"].tolist() == [False] and not arrays["state_bev"].any()
    assert np.array_equal(arrays["previous_from_current"][0], np.eye(4, dtype=np.float32))
    assert memory.sweeps_before(following) == []


def test_a_state_that_is_not_finite_is_not_carried_on(memory: StreamMemory) -> None:
    memory.remember(frame(0.1), {"bev": np.full((1, 3, 2), np.nan, np.float32)})
    assert memory.inputs(frame(0.2), SHAPES)["state_valid"].tolist() == [False]


def test_only_sweeps_of_the_last_while_are_gathered_and_no_more_than_wanted(memory: StreamMemory) -> None:
    for step in range(1, 6):
        memory.remember(frame(0.1 * step), STATE)
    assert [sweep.timestamp_ns for sweep in memory.sweeps_before(frame(0.6))] == [500_000_000, 400_000_000]
    assert memory.sweeps_before(replace(frame(5.0))) == []


def test_a_pose_that_is_not_a_number_counts_as_a_jump(memory: StreamMemory) -> None:
    broken = replace(frame(0.1), world_from_ego=np.full((4, 4), np.nan))
    assert "jumped" in memory.reason_to_reset(broken)
