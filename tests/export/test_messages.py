"""Messages as ROS 2 would hand them over, without ROS."""

import struct
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mapstack.errors import DataError
from mapstack.export import messages
from mapstack.export.runtime import Prediction, RuntimeResult
from mapstack.export.sensors import SensorFrame

RESULT = RuntimeResult(
    Prediction(np.arange(8, dtype=np.float32).reshape(2, 2, 2), np.array([1, 0]), np.array([0.75, 0.5], np.float32)),
    ("divider", "ped_crossing"),
    SensorFrame(1_700_000_000_123_456_789, np.eye(4)),
    broken={"lidar": "no sweep"},
    reset="time jumped",
)


def test_a_result_becomes_a_message_and_a_message_of_ros() -> None:
    message = messages.to_message(RESULT)
    assert messages.stamp_ns(message.header.stamp) == RESULT.frame.timestamp_ns
    assert [(e.class_name, e.closed, e.score) for e in message.elements] == [
        ("ped_crossing", True, 0.75),
        ("divider", False, 0.5),
    ]
    assert message.broken_sensors == ["lidar"] and message.stream_was_reset
    # What rosidl generates: plain attributes, nested messages there from the start.
    stamp = SimpleNamespace(sec=0, nanosec=0)
    target = SimpleNamespace(header=SimpleNamespace(stamp=stamp, frame_id=""), elements=[], broken_sensors=[])
    messages.copy_fields(message, target, {"MapElementMessage": SimpleNamespace, "Point32": SimpleNamespace})
    assert target.header.frame_id == "base_link" and stamp.nanosec == 123_456_789
    assert vars(target.elements[0].points[1]) == {"x": 2.0, "y": 3.0, "z": 0.0}


def test_the_definition_is_what_the_dataclass_says() -> None:
    assert messages.definition(messages.MapElementsMessage) == (
        "std_msgs/Header header\nMapElement[] elements\nstring[] broken_sensors\nbool stream_was_reset\n"
    )
    assert messages.definition(messages.MapElementMessage).splitlines()[-1] == "geometry_msgs/Point32[] points"


@pytest.mark.parametrize(("encoding", "pixel"), [("rgb8", b"abc"), ("bgr8", b"cba"), ("bgra8", b"cbaX")])
def test_images_arrive_as_rgb_whatever_their_order_and_padding(encoding: str, pixel: bytes) -> None:
    row = pixel * 2 + b"PAD"
    message = SimpleNamespace(encoding=encoding, height=3, width=2, step=len(row), data=row * 3)
    image = messages.image_rgb(message)
    assert image.shape == (3, 2, 3) and (image == np.frombuffer(b"abc", np.uint8)).all()
    with pytest.raises(DataError, match="has 4 bytes"):
        messages.image_rgb(SimpleNamespace(**{**vars(message), "data": b"abcd"}))
    with pytest.raises(DataError, match="yuv422"):
        messages.image_rgb(SimpleNamespace(**{**vars(message), "encoding": "yuv422"}))


def cloud(rows: list[tuple], order: str = "<") -> SimpleNamespace:
    fields = [
        SimpleNamespace(name=n, offset=o, datatype=t) for n, o, t in zip("xyz", (0, 4, 8), (7, 7, 7), strict=True)
    ]
    fields.append(SimpleNamespace(name="intensity", offset=14, datatype=2))
    data = b"".join(struct.pack(f"{order}fffxxB", *row) for row in rows)
    return SimpleNamespace(
        fields=fields, width=len(rows), height=1, point_step=15, is_bigendian=order == ">", data=data
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_clouds_are_read_by_their_fields_and_lost_returns_left_out(order: str) -> None:
    points = messages.cloud_points(cloud([(1, 2, 3, 200), (float("nan"), 0, 0, 1), (4, 5, 6, 7)], order))
    assert points.tolist() == [[1, 2, 3, 200], [4, 5, 6, 7]] and points.dtype == np.float32
    bare = cloud([(1, 2, 3, 200)])
    bare.fields.pop()
    assert messages.cloud_points(bare).tolist() == [[1, 2, 3, 0]]
    bare.fields.pop()
    with pytest.raises(DataError, match="no field 'z'"):
        messages.cloud_points(bare)
    short = cloud([(1, 2, 3, 4)])
    short.width = 2
    with pytest.raises(DataError, match="a cloud of 2 points"):
        messages.cloud_points(short)


def test_poses_become_matrices() -> None:
    position = SimpleNamespace(x=1.0, y=2.0, z=3.0)
    half = np.sqrt(0.5)
    pose = SimpleNamespace(position=position, orientation=SimpleNamespace(x=0.0, y=0.0, z=2 * half, w=2 * half))
    expected = np.array([[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]])
    np.testing.assert_allclose(messages.pose_matrix(pose), expected, atol=1e-12)
    with pytest.raises(DataError, match="no rotation"):
        messages.pose_matrix(replace_orientation(pose, 0.0))


def replace_orientation(pose: SimpleNamespace, value: float) -> SimpleNamespace:
    zero = SimpleNamespace(x=value, y=value, z=value, w=value)
    return SimpleNamespace(position=pose.position, orientation=zero)


def test_nothing_seen_is_an_empty_message() -> None:
    nothing = Prediction(np.zeros((0, 4, 2), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))
    message = messages.to_message(replace(RESULT, prediction=nothing, broken={}, reset=None))
    assert message.elements == [] and not message.stream_was_reset
