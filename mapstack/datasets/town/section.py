"""What lies across a road: lanes of both directions, the median, parking strips."""

from dataclasses import dataclass

import numpy as np

__all__ = ["CrossSection", "RoadStyle", "draw_section", "draw_style", "narrowest_section"]

PAINTED_MEDIAN_M = 0.3  # where the yellow line or lines lie
LANE_CHOICES = (  # (forward, backward, raised median), and how often
    ((1, 1, False), 0.30),
    ((1, 2, False), 0.07),
    ((2, 1, False), 0.07),
    ((2, 2, False), 0.22),
    ((3, 3, False), 0.06),
    ((2, 2, True), 0.09),
    ((3, 3, True), 0.04),
    ((2, 0, False), 0.06),
    ((3, 0, False), 0.05),
    ((1, 1, True), 0.04),
)


@dataclass(frozen=True)
class CrossSection:
    """Widths across a carriageway, kerb to kerb; traffic keeps right, lane 0 is the one at the kerb.

    Offsets are metres to the left of the carriageway's middle, seen along the road.

    Args:
        forward: lanes along the road.
        backward: lanes against it; 0 for a one-way road.
        lane_m: width of every lane.
        median_m: strip between the directions; 0 for a one-way road.
        has_raised_median: the median is a kerbed island rather than paint.
        parking_right_m: parking strip at the right kerb, 0 for none.
        parking_left_m: the same at the left kerb.
    """

    forward: int
    backward: int
    lane_m: float
    median_m: float
    has_raised_median: bool
    parking_right_m: float
    parking_left_m: float

    @property
    def half_m(self) -> float:
        """Half the width, kerb to kerb."""
        lanes = (self.forward + self.backward) * self.lane_m
        return (lanes + self.median_m + self.parking_left_m + self.parking_right_m) / 2.0

    def lane_edges(self, is_forward: bool) -> np.ndarray:
        """(n + 1,) offsets of the lane edges of one direction, from the kerb inwards."""
        if is_forward:
            return -self.half_m + self.parking_right_m + self.lane_m * np.arange(self.forward + 1)
        return self.half_m - self.parking_left_m - self.lane_m * np.arange(self.backward + 1)

    def lane_center(self, is_forward: bool, lane: int) -> float:
        """Offset of the middle of a lane."""
        edges = self.lane_edges(is_forward)
        return float((edges[lane] + edges[lane + 1]) / 2.0)

    def edges(self) -> np.ndarray:
        """(n,) offsets of kerbs and lane edges, from right to left; the lanes beside a painted median meet on it."""
        inner = [self.lane_edges(is_forward)[:-1] for is_forward in (True, False)]
        right, left = self.median
        middle = [(right + left) / 2.0] if self.has_painted_median else [right, left]
        offsets = np.sort(np.concatenate([[-self.half_m, self.half_m], *inner, middle]))
        return offsets[np.concatenate([[True], np.diff(offsets) > 1e-6])]

    @property
    def has_painted_median(self) -> bool:
        """Whether a yellow line lies between the directions."""
        return self.backward > 0 and not self.has_raised_median

    @property
    def median(self) -> tuple[float, float]:
        """Offsets of the median's right and left edge."""
        right = float(self.lane_edges(True)[-1])
        return right, right + self.median_m


@dataclass(frozen=True)
class RoadStyle:
    """How a road is painted and surfaced.

    Args:
        dash_m: length of a lane dash.
        gap_m: length between dashes.
        line_m: width of a line.
        solid_m: how far lane lines are solid before a stop line.
        divider: DOUBLE_SOLID, SINGLE_SOLID or DASHED, the yellow line between the directions.
        has_edge_lines: a white line runs along each kerb; no map layer knows it.
        wear: share of paint that is gone, in [0, 1].
        tone: brightness of the asphalt relative to the usual.
        sidewalk_m: width of the sidewalks.
        kerb_tone: brightness of the kerb stone; about that of the asphalt where it hardly shows.
    """

    dash_m: float
    gap_m: float
    line_m: float
    solid_m: float
    divider: str
    has_edge_lines: bool
    wear: float
    tone: float
    sidewalk_m: float
    kerb_tone: float


def draw_section(rng: np.random.Generator) -> CrossSection:
    """Pick lanes, median and parking strips at random."""
    weights = np.array([weight for _, weight in LANE_CHOICES])
    forward, backward, raised = LANE_CHOICES[rng.choice(len(LANE_CHOICES), p=weights / weights.sum())][0]
    lane_m = float(rng.uniform(2.9, 3.7))
    median_m = float(rng.uniform(1.4, 3.2)) if raised else PAINTED_MEDIAN_M if backward else 0.0
    parking = [float(rng.uniform(2.1, 2.5)) if rng.random() < 0.35 else 0.0 for _ in range(2)]
    if forward + backward >= 6:
        parking = [0.0, 0.0]
    return CrossSection(forward, backward, lane_m, median_m, raised, *parking)


def narrowest_section() -> CrossSection:
    """Two lanes and nothing else: what fits where a wider road does not."""
    return CrossSection(1, 1, 3.1, PAINTED_MEDIAN_M, False, 0.0, 0.0)


def draw_style(rng: np.random.Generator) -> RoadStyle:
    """Pick paint and surface at random."""
    dash_m = float(rng.uniform(1.8, 4.0))
    return RoadStyle(
        dash_m=dash_m,
        gap_m=dash_m * float(rng.uniform(0.8, 2.2)),
        line_m=float(rng.uniform(0.11, 0.18)),
        solid_m=float(rng.choice([0.0, 12.0, 20.0])),
        divider=str(rng.choice(["DOUBLE_SOLID", "SINGLE_SOLID", "DASHED"], p=[0.55, 0.25, 0.2])),
        has_edge_lines=bool(rng.random() < 0.25),
        wear=float(rng.beta(1.4, 3.0)),
        tone=float(rng.uniform(0.75, 1.3)),
        sidewalk_m=float(rng.uniform(1.6, 3.6)),
        kerb_tone=float(rng.uniform(0.9, 1.7)),
    )
