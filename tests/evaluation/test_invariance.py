"""The same bits whatever the order of tokens, the size of chunks or the number of threads."""

import numpy as np
import pytest

from mapstack.evaluation import PROTOCOLS, Options, evaluate, frames, workers

from .sets import random_set

PLAIN = [
    name
    for name, protocol in PROTOCOLS.items()
    if protocol.kind in ("pooled", "per_frame", "raster") and protocol.dim == 2
]


def shuffled(side: dict, seed: int) -> dict:
    tokens = list(side)
    np.random.default_rng(seed).shuffle(tokens)
    return {token: side[token] for token in tokens}


@pytest.mark.parametrize("name", PLAIN)
def test_the_order_of_frames_changes_no_bit(name: str) -> None:
    predictions, targets = random_set(21, num_frames=8)
    options = Options(replicates=20)
    once = evaluate(predictions, targets, name, options=options).to_json()
    assert evaluate(shuffled(predictions, 1), shuffled(targets, 2), name, options=options).to_json() == once


@pytest.mark.parametrize(("elements", "threads"), [(1, 1), (7, 2), (100_000, 1)])
def test_chunks_and_threads_change_no_bit(elements: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = random_set(22, num_frames=20)
    once = evaluate(*sets).to_json()
    monkeypatch.setattr(frames, "ELEMENTS_PER_CHUNK", elements)
    monkeypatch.setattr(workers, "MAX_THREADS", threads)
    assert evaluate(*sets).to_json() == once


def test_the_scores_of_a_set_do_not_depend_on_the_names_of_its_tokens_beyond_ties() -> None:
    predictions, targets = random_set(23)
    for entry in predictions.values():
        entry["scores"] = [
            round(score + 1e-4 * i, 6)
            for i, score in enumerate(
                np.random.default_rng(len(entry["scores"])).permutation(len(entry["scores"])) / 1000
            )
        ]
    renamed = [{f"x{token}": entry for token, entry in side.items()} for side in (predictions, targets)]
    assert evaluate(predictions, targets).ap == evaluate(*renamed).ap


def test_torch_keeps_its_threads() -> None:
    import torch

    before = torch.get_num_threads()
    evaluate(*random_set(24, num_frames=2))
    assert torch.get_num_threads() == before
