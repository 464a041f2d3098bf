"""Pose graphs: absolute poses, right on average, and odometry, right from frame to frame, in one estimate.

GTSAM solves them: Levenberg-Marquardt on SE(3) with its analytic Jacobians. (geomapnet's solver leaves one block of the
Jacobian out, how the relative translation turns with the first rotation, and halts at ten Gauss-Newton steps.)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import BackendUnavailable

from .se3 import invert

__all__ = ["GraphNoise", "fuse_with_odometry", "optimize_pose_graph"]


@dataclass(frozen=True)
class GraphNoise:
    """Standard deviations of what goes into a graph: along each axis, and about each axis.

    Args:
        absolute_m: of a predicted position.
        absolute_rad: of a predicted rotation.
        relative_m: of the odometry's translation from one frame to the next.
        relative_rad: of its rotation.
        huber: absolute poses that are off by more than so many standard deviations pull with constant force instead of
            ever harder; None trusts them all.
    """

    absolute_m: float
    absolute_rad: float
    relative_m: float
    relative_rad: float
    huber: float | None = None

    def __post_init__(self) -> None:
        if not all(value is None or value > 0 for value in vars(self).values()):
            raise ValueError(f"standard deviations must be positive: {self}")


def optimize_pose_graph(
    initial: NDArray,
    absolute: Mapping[int, NDArray],
    relative: Mapping[tuple[int, int], NDArray],
    noise: GraphNoise,
    covariances: NDArray | None = None,
) -> NDArray:
    """The most likely poses.

    Planar poses (turned about z only, all at one height) stay planar.

    Args:
        initial: (N, 4, 4) world_from_body, where the search begins.
        absolute: measured world_from_body (4, 4) by frame; at least one, or nothing holds the graph in the world.
        relative: measured first_from_second (4, 4) by pair of frames.
        noise: of the measurements.
        covariances: as in :func:`fuse_with_odometry`, by frame.

    Returns:
        (N, 4, 4) float64 world_from_body.

    Raises:
        BackendUnavailable: GTSAM is not installed.
    """
    if not absolute:
        raise ValueError("a pose graph without an absolute pose floats freely; give one at least")
    gtsam = _gtsam()
    graph, values = gtsam.NonlinearFactorGraph(), gtsam.Values()
    for i, pose in enumerate(initial):
        values.insert(i, gtsam.Pose3(np.asarray(pose, np.float64)))
    for factor in _factors(gtsam, absolute, relative, noise, covariances):
        graph.add(factor)
    params = gtsam.LevenbergMarquardtParams()
    params.setRelativeErrorTol(1e-12)
    params.setAbsoluteErrorTol(1e-14)
    solved = gtsam.LevenbergMarquardtOptimizer(graph, values, params).optimize()
    return np.stack([solved.atPose3(i).matrix() for i in range(len(initial))])


def fuse_with_odometry(
    predicted: NDArray,
    odom_from_body: NDArray,
    noise: GraphNoise,
    window: int = 7,
    keep: str = "middle",
    covariances: NDArray | None = None,
) -> NDArray:
    """Correct each frame's predicted pose by the odometry of the frames around it.

    Args:
        predicted: (N, 4, 4) world_from_body of one drive, in order of time.
        odom_from_body: (N, 4, 4) the same frames by dead reckoning, in a frame of its own.
        noise: of both.
        window: frames in a graph; at the ends of the drive fewer.
        keep: "middle" takes each frame from the graph around it, as MapNet does; "last" from the graph that ends with
            it, all that a vehicle has.
        covariances: (N, 3, 3) of each prediction's x, y (body axes, metres) and yaw, on top of ``noise``'s: a place
            that is known across the road alone then holds the graph across the road alone.

    Returns:
        (N, 4, 4) float64 world_from_body.
    """
    if keep not in ("middle", "last"):
        raise ValueError(f"keep must be middle or last, got {keep!r}")
    if window < 1 or predicted.shape != odom_from_body.shape:
        raise ValueError(f"window {window}, poses {predicted.shape} and odometry {odom_from_body.shape} do not fit")
    after = window // 2 if keep == "middle" else 0
    fused = np.empty(predicted.shape)
    for i in range(len(predicted)):
        start, stop = max(0, i + after - window + 1), min(len(predicted), i + after + 1)
        own = None if covariances is None else covariances[start:stop]
        fused[i] = _fuse_window(predicted[start:stop], odom_from_body[start:stop], noise, own)[i - start]
    return fused


def _fuse_window(
    predicted: NDArray, odom_from_body: NDArray, noise: GraphNoise, covariances: NDArray | None
) -> NDArray:
    body_from_odom = invert(odom_from_body)
    steps = {(i, i + 1): body_from_odom[i] @ odom_from_body[i + 1] for i in range(len(predicted) - 1)}
    # The odometry, laid through each prediction in turn; the search begins at the one that fits all others best, for
    # from a wrong prediction it would not find back.
    chains = (predicted @ body_from_odom)[:, None] @ odom_from_body[None]  # (N, N, 4, 4)
    gaps = chains - predicted
    translation = np.linalg.norm(gaps[..., :3, 3], axis=-1) / noise.absolute_m
    rotation = np.linalg.norm(gaps[..., :3, :3], axis=(-2, -1)) / (2**0.5 * noise.absolute_rad)
    best = (translation + rotation).sum(axis=1).argmin()
    return optimize_pose_graph(chains[best], dict(enumerate(predicted)), steps, noise, covariances)


def _factors(
    gtsam: object,
    absolute: Mapping[int, NDArray],
    relative: Mapping[tuple[int, int], NDArray],
    noise: GraphNoise,
    covariances: NDArray | None,
) -> Iterator[object]:
    def model(sigmas: list[float]) -> object:
        return gtsam.noiseModel.Diagonal.Sigmas(np.array(sigmas))

    def robust(sigma: float, more: NDArray) -> object:
        gaussian = gtsam.noiseModel.Gaussian.Covariance(sigma**2 * np.eye(3) + more)
        if noise.huber is None:
            return gaussian
        return gtsam.noiseModel.Robust.Create(gtsam.noiseModel.mEstimator.Huber.Create(noise.huber), gaussian)

    # Place and rotation apart: in one twist a wrong place far away would turn the vehicle by its long lever.
    for i, matrix in absolute.items():
        pose = gtsam.Pose3(np.asarray(matrix, np.float64))
        place, turn = np.zeros((3, 3)), np.zeros((3, 3))
        if covariances is not None:
            place[:2, :2], turn[2, 2] = covariances[i][:2, :2], covariances[i][2, 2]
            axes = np.asarray(matrix)[:3, :3]  # the place's factor is in world axes, the rotation's in the body's
            place = axes @ place @ axes.T
        yield gtsam.PoseTranslationPrior3D(i, pose, robust(noise.absolute_m, place))
        yield gtsam.PoseRotationPrior3D(i, pose, robust(noise.absolute_rad, turn))
    between = model([noise.relative_rad] * 3 + [noise.relative_m] * 3)
    for (i, j), matrix in relative.items():
        yield gtsam.BetweenFactorPose3(i, j, gtsam.Pose3(np.asarray(matrix, np.float64)), between)


def _gtsam() -> object:
    try:
        import gtsam  # a second to import, and only pose graphs need it
    except ImportError as error:
        raise BackendUnavailable(f"pose graphs need GTSAM ({error}); pip install gtsam==4.3.0") from error
    return gtsam
