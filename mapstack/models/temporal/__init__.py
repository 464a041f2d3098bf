"""Time: state that is passed in and returned, ego motion, recurrent BEV maps, propagated queries."""

from .queries import QueryPropagation
from .stream import Past, StreamPlan, StreamState
from .streaming_bev import StreamingBEV
from .warp import move_points, warp_bev

__all__ = ["Past", "QueryPropagation", "StreamPlan", "StreamState", "StreamingBEV", "move_points", "warp_bev"]
