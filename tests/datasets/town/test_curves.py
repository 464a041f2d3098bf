import numpy as np
import pytest

from mapstack.datasets.town.curves import Curve, biarc, through

ENDS = {
    "straight": (30.0, 0.0, 0.0),
    "swerve": (30.0, 10.0, 0.0),
    "turn": (30.0, 10.0, 1.5),
    "back": (10.0, -20.0, -2.0),
    "nearly straight": (40.0, 1e-7, 1e-9),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_biarc_meets_both_poses(end):
    reached = biarc((0.0, 0.0, 0.0), end).joints[-1]
    np.testing.assert_allclose(reached[:2], end[:2], atol=1e-9)
    assert abs(np.angle(np.exp(1j * (reached[2] - end[2])))) < 1e-9


def test_an_offset_curve_stays_at_its_distance():
    curve = through([(0.0, 0.0, 0.3), (40.0, 15.0, -0.2), (90.0, 10.0, 0.4)])
    shifted = curve.offset(3.5)
    share = np.linspace(0.0, 1.0, 200)
    here, there = curve.poses(share * curve.length)[:, :2], shifted.poses(np.linspace(0, shifted.length, 2000))[:, :2]
    gap = np.linalg.norm(here[:, None] - there[None], axis=-1).min(1)
    np.testing.assert_allclose(gap, 3.5, atol=0.01)


def test_a_reversed_curve_visits_the_same_points():
    curve = through([(0.0, 0.0, 0.3), (40.0, 15.0, -0.2), (90.0, 10.0, 0.4)])
    at = np.linspace(0.0, curve.length, 50)
    back = curve.reversed().poses(curve.length - at)
    np.testing.assert_allclose(back[:, :2], curve.poses(at)[:, :2], atol=1e-8)
    np.testing.assert_allclose(np.cos(back[:, 2] - curve.poses(at)[:, 2]), -1.0, atol=1e-9)


def test_drawn_chords_keep_to_the_arc():
    curve = Curve((0.0, 0.0, 0.0), np.array([30.0]), np.array([1 / 12.0]))
    line = curve.line()
    middle = (line[1:] + line[:-1]) / 2
    assert np.abs(np.linalg.norm(middle - [0.0, 12.0], axis=1) - 12.0).max() < 0.016
