"""The light of a scene."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Weather", "draw_weather"]


@dataclass(frozen=True)
class Weather:
    """Sun, sky and exposure.

    Args:
        shadow_per_m: (2,) ground metres that the shadow of a 1 m pole covers, world xy.
        shade: brightness inside shadows relative to the open, 1 under clouds.
        exposure: overall gain.
        tint: (3,) BGR gain.
        haze: (3,) BGR of the far distance.
        sky: (3,) BGR of the zenith.
        haze_m: distance at which haze hides 63 %.
        noise: standard deviation of the sensor noise, grey levels.
        is_night: street light only: short sight, much noise.
    """

    shadow_per_m: NDArray
    shade: float
    exposure: float
    tint: NDArray
    haze: NDArray
    sky: NDArray
    haze_m: float
    noise: float
    is_night: bool


def draw_weather(rng: np.random.Generator) -> Weather:
    """Sun, clouds or night at random."""
    azimuth, elevation = rng.uniform(0.0, 2 * np.pi), np.radians(rng.uniform(24.0, 65.0))
    kind = rng.choice(["sun", "cloud", "night"], p=[0.55, 0.33, 0.12])
    warmth = rng.normal(0.0, 0.05)
    tint = np.array([1.0 - warmth, 1.0, 1.0 + warmth])
    haze = np.array([205.0, 200.0, 195.0]) + rng.normal(0.0, 8.0, 3)
    sky = np.array([215.0, 170.0, 120.0]) if kind == "sun" else np.array([200.0, 196.0, 190.0])
    shade = float(rng.uniform(0.42, 0.62)) if kind == "sun" else 1.0
    exposure = float(rng.uniform(0.75, 1.25))
    if kind == "night":
        haze, sky, exposure = np.array([30.0, 26.0, 24.0]), np.array([24.0, 18.0, 14.0]), float(rng.uniform(0.32, 0.5))
    return Weather(
        shadow_per_m=np.array([np.cos(azimuth), np.sin(azimuth)]) / np.tan(elevation),
        shade=shade,
        exposure=exposure,
        tint=tint,
        haze=np.clip(haze, 0, 255),
        sky=sky,
        haze_m=float(rng.uniform(120.0, 400.0)),
        noise=float(rng.uniform(5.0, 9.0) if kind == "night" else rng.uniform(1.5, 5.0)),
        is_night=bool(kind == "night"),
    )
