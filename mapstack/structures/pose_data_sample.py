"""PoseDataSample: a few frames of one drive on their way from dataset to metric, for localisation."""

from mmengine.structures import BaseDataElement

__all__ = ["PoseDataSample"]


class PoseDataSample(BaseDataElement):
    """T frames of one drive, and where they were taken.

    Metainfo: ``token`` and ``timestamp_ns`` of the frame that was asked for, ``place`` (its number among the T),
    ``tokens`` (T), ``scene``, ``labelled`` (whether the poses may be learned from).
    Data: ``poses`` (T, 4, 4) float64 world_from_body, the truth, identities where not labelled; ``odometry``
    (T, 4, 4) float64 odom_from_body by dead reckoning, one frame a drive; ``gnss`` (T, 2) float64 world x and y
    as a receiver gives them; ``pred`` (T, 4, 4) world_from_body. Each is absent where it was not made.
    """
