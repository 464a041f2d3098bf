"""Coverage and calibration of Laplace scales, on errors drawn from the distributions that were promised, and not."""

import numpy as np
import pytest
import torch

from mapstack.evaluation.reliability import best_factor, cross_fitted_factors, point_errors, reliability
from mapstack.structures import MapElements

RNG = np.random.default_rng(0)
SCALES = RNG.uniform(0.1, 1.5, 20_000)
ERRORS = np.abs(RNG.laplace(scale=SCALES))


def test_true_scales_are_calibrated() -> None:
    result = reliability(ERRORS, SCALES)
    assert result.expected_calibration_error < 0.01
    np.testing.assert_allclose(result.bin_errors_m, result.bin_scales_m, rtol=0.08)
    np.testing.assert_allclose(result.coverage, result.levels, atol=0.02)
    assert result.num_coordinates == 20_000


@pytest.mark.parametrize("factor", [0.4, 2.5])
def test_scales_off_by_a_factor_are_found_out_and_mended(factor: float) -> None:
    wrong = SCALES * factor
    before = reliability(ERRORS, wrong)
    assert before.expected_calibration_error > 0.1
    assert (before.coverage.mean() < before.levels.mean()) == (factor < 1)
    assert best_factor(ERRORS, wrong) == pytest.approx(1 / factor, rel=0.03)
    after = reliability(ERRORS, wrong * best_factor(ERRORS, wrong))
    assert after.expected_calibration_error < 0.01
    assert after.log_likelihood > before.log_likelihood


def test_factors_come_from_the_other_half_of_the_scenes() -> None:
    errors, scales = np.array([1.0, 1.0, 4.0, 4.0]), np.ones(4)
    factors = cross_fitted_factors(errors, scales, np.array([7, 7, 9, 9]))
    np.testing.assert_allclose(factors, [4, 4, 1, 1])
    np.testing.assert_allclose(cross_fitted_factors(errors, scales, np.zeros(4, int)), 1.0)


def sample(points: list, labels: list[int], **fields: object) -> MapElements:
    return MapElements(points=torch.tensor(points), labels=torch.tensor(labels), **fields)


def test_errors_are_taken_in_the_best_order_of_the_paired_element() -> None:
    line = [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]
    far = [[0.0, 9.0], [1.0, 9.0], [2.0, 9.0]]
    flags = {"closed": torch.tensor([False, False]), "directed": torch.tensor([False, True])}
    truth = sample([line, far], [0, 1], **flags)
    shifted = [[x, y + 0.25] for x, y in line[::-1]]
    scales = torch.full((3, 3, 2), 0.5)
    scales[0] = 0.2
    predicted = sample([shifted, far[::-1], line], [0, 1, 0], scores=torch.tensor([0.9, 0.8, 0.1]), scales=scales)
    errors, found = point_errors(predicted, truth, max_error_m=1.0)
    # The reversed line is no error; the directed one, reversed, is 4/3 m off on average and no pair; the third is not
    # counted on.
    np.testing.assert_allclose(errors, [0, 0.25, 0, 0.25, 0, 0.25])
    np.testing.assert_allclose(found, 0.2, rtol=1e-6)
    wider, _ = point_errors(predicted, truth, max_error_m=2.0)
    assert len(wider) == 12


def test_nothing_to_compare_is_no_error() -> None:
    none = MapElements(torch.zeros(0, 3, 2), torch.zeros(0, dtype=torch.long), scales=torch.zeros(0, 3, 2))
    none.scores, none.closed, none.directed = torch.zeros(0), torch.zeros(0, dtype=bool), torch.zeros(0, dtype=bool)
    assert [len(part) for part in point_errors(none, none)] == [0, 0]
    with pytest.raises(ValueError, match="uncertainty=True"):
        point_errors(MapElements(torch.zeros(0, 3, 2), torch.zeros(0, dtype=torch.long)), none)
    with pytest.raises(ValueError, match="M >= 1"):
        reliability(np.zeros(0), np.zeros(0))
