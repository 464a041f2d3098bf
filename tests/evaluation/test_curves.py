"""What a report shows beside the numbers, against the numbers."""

import numpy as np
import pytest

from mapstack.evaluation import Options, evaluate
from mapstack.evaluation.average_precision import average_precision
from mapstack.evaluation.curves import rank_hits, score_frames

from .sets import random_set


def test_the_area_under_a_curve_is_the_ap() -> None:
    predictions, targets = random_set(71)
    result = evaluate(predictions, targets)
    for item in rank_hits(predictions, targets):
        assert average_precision(item.hits, item.num_targets) == result.ap[item.label, item.threshold_m]


def test_a_frames_score_is_its_own_evaluation() -> None:
    predictions, targets = random_set(72)
    for token, score in score_frames(predictions, targets).items():
        labels = set(targets[token]["labels"])
        alone = evaluate(
            {token: predictions[token]}, {token: targets[token]}, classes="abc", options=Options(replicates=0)
        )
        truth = np.mean([alone.per_class["abc"[label]] for label in labels]) if labels else np.nan
        assert score == pytest.approx(truth, nan_ok=True)
