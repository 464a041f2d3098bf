"""Messages in the shape of ROS 2, and what to make of a camera's, a LiDAR's and a pose's; ROS itself is not needed.

A node copies fields: from the messages it receives into a :class:`SensorFrame`, and from :class:`MapElementsMessage`
into the message that ``definition`` describes. docs/DEPLOY.md shows such a node.
"""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Protocol, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError

from .runtime import RuntimeResult

__all__ = [
    "Header",
    "MapElementMessage",
    "MapElementsMessage",
    "Point32",
    "Time",
    "cloud_points",
    "copy_fields",
    "definition",
    "image_rgb",
    "pose_matrix",
    "stamp_ns",
    "to_message",
]

NS_PER_S = 1_000_000_000
# sensor_msgs/PointField.datatype
POINT_FIELD_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
CHANNELS = {"rgb8": (0, 1, 2), "bgr8": (2, 1, 0), "rgba8": (0, 1, 2), "bgra8": (2, 1, 0), "mono8": (0, 0, 0)}
PIXEL_BYTES = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}


@dataclass
class Time:
    """builtin_interfaces/Time."""

    sec: int = 0
    nanosec: int = 0


@dataclass
class Header:
    """std_msgs/Header."""

    stamp: Time = field(default_factory=Time)
    frame_id: str = ""


@dataclass
class Point32:
    """geometry_msgs/Point32, metres."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0


@dataclass
class MapElementMessage:
    """One polyline or, closed, the outline of a crossing; points in the header's frame."""

    label: int = 0
    class_name: str = ""
    score: float = 0.0
    closed: bool = False
    points: list[Point32] = field(default_factory=list)


@dataclass
class MapElementsMessage:
    """The map around the car at one time."""

    header: Header = field(default_factory=Header)
    elements: list[MapElementMessage] = field(default_factory=list)
    broken_sensors: list[str] = field(default_factory=list)
    stream_was_reset: bool = False


class _Stamp(Protocol):
    sec: int
    nanosec: int


def stamp_ns(stamp: _Stamp) -> int:
    """Nanoseconds of a builtin_interfaces/Time."""
    return stamp.sec * NS_PER_S + stamp.nanosec


def to_message(result: RuntimeResult, frame_id: str = "base_link") -> MapElementsMessage:
    """What a node publishes of a frame; points are ego metres, the plane's height 0."""
    found, time_ns = result.prediction, result.frame.timestamp_ns
    elements = []
    for line, label, score in zip(found.points, found.labels, found.scores, strict=True):
        points = [Point32(float(x), float(y), 0.0) for x, y in line[:, :2]]
        name = result.classes[int(label)]
        elements.append(MapElementMessage(int(label), name, float(score), name == "ped_crossing", points))
    header = Header(Time(time_ns // NS_PER_S, time_ns % NS_PER_S), frame_id)
    return MapElementsMessage(header, elements, sorted(result.broken), result.reset is not None)


def copy_fields(source: object, target: object, makers: dict[str, type]) -> object:
    """Copy a message of ours into one of ROS's with the same fields.

    Args:
        source: one of the dataclasses here.
        target: an empty message of the generated class.
        makers: the generated class of each list's items, by our class's name; ``Point32`` for instance.

    Returns:
        ``target``.
    """
    for item in fields(source):
        value = getattr(source, item.name)
        if is_dataclass(value):
            copy_fields(value, getattr(target, item.name), makers)
        elif isinstance(value, list) and value and is_dataclass(value[0]):
            made = [copy_fields(part, makers[type(part).__name__](), makers) for part in value]
            setattr(target, item.name, made)
        else:
            setattr(target, item.name, value)
    return target


ROS_TYPES = {
    int: "int32", str: "string", float: "float32", bool: "bool", Time: "builtin_interfaces/Time",
    Header: "std_msgs/Header", Point32: "geometry_msgs/Point32", MapElementMessage: "MapElement",
}  # fmt: skip


def definition(message: type) -> str:
    """Text of the .msg file that describes one of the dataclasses."""
    lines = []
    for name, kind in get_type_hints(message).items():
        repeated = get_origin(kind) is list
        lines.append(f"{ROS_TYPES[get_args(kind)[0] if repeated else kind]}{'[]' if repeated else ''} {name}")
    return "\n".join(lines) + "\n"


def image_rgb(message: object) -> NDArray:
    """(h, w, 3) uint8 RGB of a sensor_msgs/Image: rows may be padded, channels in any order of ``CHANNELS``."""
    if message.encoding not in CHANNELS:
        raise DataError(f"image encoding {message.encoding!r} is not one of {', '.join(CHANNELS)}; convert it first")
    size, height, width = PIXEL_BYTES[message.encoding], message.height, message.width
    flat = np.frombuffer(bytes(message.data), np.uint8)
    if message.step < width * size or len(flat) < message.step * height:
        raise DataError(f"an image of {width}x{height} {message.encoding} has {len(flat)} bytes, step {message.step}")
    rows = flat[: message.step * height].reshape(height, message.step)[:, : width * size]
    return np.ascontiguousarray(rows.reshape(height, width, size)[..., CHANNELS[message.encoding]])


def cloud_points(message: object) -> NDArray:
    """(M, 4) float32 x, y, z, intensity of a sensor_msgs/PointCloud2; returns that are not finite are left out.

    A cloud without a field "intensity" gets zeros.
    """
    offsets = {item.name: item for item in message.fields}
    missing = [name for name in "xyz" if name not in offsets]
    if missing:
        raise DataError(f"the point cloud has no field {missing[0]!r}; it has {', '.join(offsets) or 'none'}")
    order = ">" if message.is_bigendian else "<"
    names = [name for name in ("x", "y", "z", "intensity") if name in offsets]
    kinds = np.dtype(
        {
            "names": names,
            "formats": [order + POINT_FIELD_TYPES[offsets[name].datatype] for name in names],
            "offsets": [offsets[name].offset for name in names],
            "itemsize": message.point_step,
        }
    )
    count = message.width * message.height
    data = bytes(message.data)
    if len(data) < count * message.point_step:
        raise DataError(f"a cloud of {count} points of {message.point_step} bytes has {len(data)} bytes")
    cloud = np.frombuffer(data, kinds, count)
    points = np.zeros((count, 4), np.float32)
    for place, name in enumerate(names):
        points[:, place] = cloud[name]
    return points[np.isfinite(points).all(1)]


def pose_matrix(pose: object) -> NDArray:
    """(4, 4) float64 of a geometry_msgs/Pose; the quaternion need not be of length one, but not of length zero."""
    q = pose.orientation
    x, y, z, w = quaternion = np.array([q.x, q.y, q.z, q.w], float)
    norm = float(np.linalg.norm(quaternion))
    if not norm > 0 or not np.isfinite(norm):
        raise DataError(f"a pose has the orientation {quaternion.tolist()}, which is no rotation")
    x, y, z, w = quaternion / norm
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = (pose.position.x, pose.position.y, pose.position.z)
    return matrix
