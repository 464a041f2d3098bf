"""A drive made ready for its sensors: ground, things that stand, traffic, light."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .boxes import Boxes
from .camera import View, render
from .drives import Motion, ego_motion
from .ground import Ground, build_ground
from .lidar import Sweep, cast
from .painter import Painter
from .rig import Camera, LidarModel
from .traffic import Vehicles, draw_vehicles
from .weather import Weather, draw_weather
from .world import District, rng_for

__all__ = ["Stage", "set_stage"]

SCENERY_M = 95.0
TRACK_STEP_S = 0.25


@dataclass(frozen=True)
class Stage:
    """All that is needed to photograph and scan a drive at any moment."""

    ego: Motion
    vehicles: Vehicles
    scenery: Boxes
    ground: Ground
    painter: Painter
    weather: Weather
    seed: tuple[int, ...]

    def photograph(self, camera: Camera, time_s: float, stream: int) -> NDArray:
        """(height, width, 3) BGR at one moment; ``stream`` numbers the picture, for its noise."""
        view = View(camera.size, camera.intrinsics, self.ego.world_from_ego(time_s) @ camera.ego_from_camera)
        painter = self.painter.with_vehicles(self.vehicles.boxes(time_s))
        return render(view, self.ground, painter, self.weather, rng_for(*self.seed, 10, stream))

    def scan(self, model: LidarModel, time_s: float, stream: int) -> Sweep:
        """One LiDAR turn at one moment."""
        boxes = Boxes.join([self.scenery, self.vehicles.boxes(time_s)])
        pose = self.ego.world_from_ego(time_s) @ model.ego_from_lidar
        return cast(model, pose, self.ground, boxes, rng_for(*self.seed, 11, stream))


def set_stage(district: District, lane: int, duration_s: float, seed: tuple[int, ...]) -> Stage:
    """Draw the drive, its traffic and its weather, and paint its ground."""
    rng = rng_for(*seed, 0)
    ego = ego_motion(district.map, rng, lane, duration_s)
    vehicles = draw_vehicles(district.map, ego, duration_s, rng)
    weather = draw_weather(rng)
    track = ego.planar(np.arange(-0.5, duration_s + 0.5, TRACK_STEP_S))[:, :2]
    scenery = district.scenery[district.scenery.near(track, SCENERY_M)]
    parked = vehicles.boxes(0.0)
    parked = parked[parked.owner < len(vehicles.parked)]
    ground = build_ground(district.map, track, Boxes.join([scenery, parked]), weather, rng)
    painter = Painter.of_scene(scenery, weather, rng)
    return Stage(ego, vehicles, scenery, ground, painter, weather, seed)
