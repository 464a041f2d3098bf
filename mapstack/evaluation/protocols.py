"""Every published way of scoring vector maps that mapstack knows, as a frozen object that can state itself."""

from dataclasses import asdict, dataclass
from typing import Literal

from mapstack.errors import ConfigError

from .average_precision import APMode

__all__ = ["PROTOCOLS", "Protocol", "get_protocol"]

AbsentClass = Literal["zero", "nan", "one_if_no_prediction"]


@dataclass(frozen=True)
class Protocol:
    """How predictions become a number. Change one with ``dataclasses.replace``; the result prints what it used.

    Args:
        name: what a config or a command line calls it.
        source: whose published evaluator it restates.
        kind: "pooled" AP over the set, "tracked" (pooled, with identities over a drive), "per_frame" AP
            averaged over frames, "raster" IoU, or "lane_graph".
        thresholds_m: distances that count as a hit; for "raster" unused.
        distance: "chamfer", "frechet", or "pixels" (Chamfer between the cells that the elements cover).
        num_points: points to which both sides are resampled by arc length.
        keep_sampled: leave a polyline that already has ``num_points`` vertices as it is.
        dim: coordinates that count, 2 or 3.
        directed: whether Fréchet compares the given point orders only.
        simplify_targets_m: Douglas-Peucker tolerance for targets before resampling; 0 leaves them.
        buffer_m: pairs whose flat-capped buffers of this width do not meet never match; 0 is no filter.
        inclusive: whether a distance equal to the threshold hits.
        ap_mode: area under the interpolated curve, or its mean at 11, 101 or 10 recalls.
        absent_class: what a class without targets counts: 0, left out, or 1 if nothing was predicted (else 0).
        relax_per_m: distances shrink by this share per metre of the target's distance to the ego, at most by half.
        ascending_scores: rank worst first, as HDMapNet's heirs do by mistake.
        skip_frames_without_targets: drop false positives of frames without targets of the class.
        cell_m: cell size for "pixels" and "raster".
        thickness_px: OpenCV pen for predictions under "pixels", for both sides under "raster".
        target_thickness_px: OpenCV pen for targets under "pixels".
        pc_range_xy: (x_min, y_min, x_max, y_max) metres that "raster" draws.
        min_score: predictions must be above it to count ("tracked" and "raster").
        min_edge_confidence: lane connections above it count ("lane_graph").
        companions: protocols that are always scored along.
    """

    name: str
    source: str
    kind: Literal["pooled", "tracked", "per_frame", "raster", "lane_graph"] = "pooled"
    thresholds_m: tuple[float, ...] = (0.5, 1.0, 1.5)
    distance: Literal["chamfer", "frechet", "pixels"] = "chamfer"
    num_points: int = 100
    keep_sampled: bool = False
    dim: int = 2
    directed: bool = False
    simplify_targets_m: float = 0.0
    buffer_m: float = 0.0
    inclusive: bool = True
    ap_mode: APMode = "area"
    absent_class: AbsentClass = "zero"
    relax_per_m: float = 0.0
    ascending_scores: bool = False
    skip_frames_without_targets: bool = False
    cell_m: float = 0.15
    thickness_px: int = 1
    target_thickness_px: int = 1
    pc_range_xy: tuple[float, float, float, float] = (-30.0, -15.0, 30.0, 15.0)
    min_score: float = 0.0
    min_edge_confidence: float = 0.5
    companions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "thresholds_m", tuple(sorted(float(value) for value in self.thresholds_m)))
        if not self.thresholds_m or self.thresholds_m[0] <= 0:
            raise ConfigError(f"protocol {self.name}: thresholds_m must be positive, got {self.thresholds_m}")
        if self.dim not in (2, 3) or self.num_points < 2:
            raise ConfigError(f"protocol {self.name}: dim must be 2 or 3 and num_points at least 2")

    def to_dict(self) -> dict:
        """Every setting, for JSON."""
        return asdict(self)

    def describe(self) -> list[str]:
        """The protocol in words, a line a decision."""
        lines = [f"protocol {self.name}: {self.source}"]
        if self.kind == "raster":
            x_min, y_min, x_max, y_max = self.pc_range_xy
            drawn = f"lines drawn with an OpenCV pen of {self.thickness_px} on {self.cell_m} m cells"
            area = f"x {x_min:g} to {x_max:g}, y {y_min:g} to {y_max:g} m"
            lines.append(f"IoU per class of {drawn} over {area}, cells summed over the set")
            return [*lines, f"predictions with score > {self.min_score:g}; {ABSENT_WORDS[self.absent_class]}"]
        lines += [self._points_words(), self._distance_words(), self._matching_words(), self._ap_words()]
        if self.kind == "lane_graph":
            lines.append(
                f"TOP_ll: edges above {self.min_edge_confidence:g} between matched lanes, AP per lane over successors "
                "and predecessors, unmatched pairs are wrong; OLS = (DET_l + sqrt(TOP_ll)) / 2, no traffic elements"
            )
        return lines

    def _points_words(self) -> str:
        if self.distance == "pixels":
            return (
                f"points: the {self.cell_m} m cells covered, predictions drawn with an OpenCV pen of "
                f"{self.thickness_px}, targets with one of {self.target_thickness_px}"
            )
        words = f"points: both sides resampled to {self.num_points} at equal arc length, ends included, {self.dim}-D"
        words += f"; lines that have {self.num_points} are kept" if self.keep_sampled else ""
        words += f"; targets simplified by {self.simplify_targets_m} m first" if self.simplify_targets_m else ""
        return words

    def _distance_words(self) -> str:
        names = {"chamfer": "Chamfer, mean of both directions", "pixels": "Chamfer of cells, mean of both directions"}
        order = "in the given order" if self.directed else "best of both point orders"
        words = names.get(self.distance, f"discrete Fréchet, {order}")
        words += f"; less {self.relax_per_m:.1%} per metre to the ego, at most half" if self.relax_per_m else ""
        words += f"; only pairs whose {self.buffer_m:g} m buffers meet" if self.buffer_m else ""
        sign = "<=" if self.inclusive else "<"
        return f"distance: {words}; hit when {sign} {', '.join(f'{value:g}' for value in self.thresholds_m)} m"

    def _matching_words(self) -> str:
        if self.kind == "per_frame":
            return f"matching: globally closest pair first; ranked {'worst' if self.ascending_scores else 'best'} first"
        words = "matching: best score first, nearest target of the class and frame or none"
        words += f"; score > {self.min_score:g}" if self.kind == "tracked" else ""
        if self.kind == "tracked":
            words += "; a hit must carry the track id that first held its target's track"
        return words

    def _ap_words(self) -> str:
        pooling = "per frame and class, averaged over frames" if self.kind == "per_frame" else "pooled over the set"
        mode = "area under the interpolated curve" if self.ap_mode == "area" else f"{self.ap_mode} recall points"
        words = f"AP: {pooling}, {mode}; mean over thresholds, then classes; {ABSENT_WORDS[self.absent_class]}"
        return words + ("; frames without targets of the class skipped" if self.skip_frames_without_targets else "")


ABSENT_WORDS = {
    "zero": "a class without targets counts 0",
    "nan": "a class without targets is left out",
    "one_if_no_prediction": "a class with neither targets nor predictions counts 1, without targets only 0",
}
EASY_M, HARD_M = (0.5, 1.0, 1.5), (0.2, 0.5, 1.0)


def _supermapnet(name: str, thresholds_m: tuple[float, ...], as_published: bool) -> Protocol:
    return Protocol(
        name,
        "SuperMapNet / BeMapNet / PivotNet" + (" as published" if as_published else ", score order corrected"),
        kind="per_frame",
        distance="pixels",
        thresholds_m=thresholds_m,
        inclusive=False,
        ap_mode="10",
        absent_class="nan",
        ascending_scores=as_published,
        target_thickness_px=8 if as_published else 1,
    )


def _cmap(name: str, as_published: bool) -> Protocol:
    return Protocol(
        name,
        "MapTracker C-mAP" + (" as published" if as_published else ", false positives of target-free frames counted"),
        kind="tracked",
        num_points=200,
        min_score=0.4,
        skip_frames_without_targets=as_published,
    )


def _openlanev2(name: str, dim: int) -> Protocol:
    return Protocol(
        name,
        f"OpenLane-V2 centerline graph in {dim}-D",
        kind="lane_graph",
        distance="frechet",
        thresholds_m=(1.0, 2.0, 3.0),
        num_points=11,
        keep_sampled=True,
        dim=dim,
        directed=True,
        inclusive=False,
        ap_mode="11",
        absent_class="one_if_no_prediction",
        relax_per_m=0.005,
    )


_STREAM = "StreamMapNet / MapTracker"
PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("maptr", "MapTR / MapTRv2 family"),
        Protocol("maptr_buffer", "MapTR with its 2 m buffer pre-filter", buffer_m=2.0),
        Protocol("maptr_3d", "MapTRv2 on Argoverse 2 in 3-D", dim=3),
        Protocol("streammapnet_60x30", f"{_STREAM}, 60 x 30 m", num_points=200, simplify_targets_m=0.2),
        Protocol(
            "streammapnet_100x50",
            f"{_STREAM}, 100 x 50 m",
            num_points=200,
            simplify_targets_m=0.2,
            thresholds_m=(1.0, 1.5, 2.0),
        ),
        Protocol("vectormapnet", "VectorMapNet, Chamfer", companions=("vectormapnet_frechet",)),
        Protocol("vectormapnet_frechet", "VectorMapNet, Fréchet", distance="frechet", thresholds_m=(1.0, 2.0, 3.0)),
        _supermapnet("supermapnet_hard", HARD_M, as_published=False),
        _supermapnet("supermapnet_easy", EASY_M, as_published=False),
        _supermapnet("supermapnet_hard_as_published", HARD_M, as_published=True),
        _supermapnet("supermapnet_easy_as_published", EASY_M, as_published=True),
        _cmap("cmap", as_published=False),
        _cmap("cmap_as_published", as_published=True),
        Protocol("raster_iou", "IoU of drawn lines", kind="raster", thickness_px=2, min_score=0.4, absent_class="nan"),
        _openlanev2("openlanev2", dim=3),
        _openlanev2("openlanev2_2d", dim=2),
    )
}


def get_protocol(protocol: str | Protocol) -> Protocol:
    """The protocol of that name, or the given one."""
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ConfigError(f"unknown protocol {protocol!r}; choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[protocol]
