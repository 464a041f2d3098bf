from itertools import islice

import pytest

from mapstack.datasets.sampler import ResumableSampler
from mapstack.errors import ConfigError

SIZE = 7


def take(sampler: ResumableSampler, count: int) -> list[tuple[int, int]]:
    return list(islice(iter(sampler), count))


def test_each_epoch_has_every_frame_once_in_another_order() -> None:
    items = take(ResumableSampler(range(SIZE), seed=3), 3 * SIZE)
    epochs = [[index for index, _ in items[start : start + SIZE]] for start in range(0, 3 * SIZE, SIZE)]
    assert all(sorted(epoch) == list(range(SIZE)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert len({seed for _, seed in items}) == len(items), "a frame met again must be augmented anew"


@pytest.mark.parametrize("consumed", [0, 1, SIZE - 1, SIZE, 3 * SIZE + 2])
def test_a_resumed_stream_goes_on_exactly(consumed: int) -> None:
    whole = take(ResumableSampler(range(SIZE), seed=3), consumed + 10)
    resumed = ResumableSampler(range(SIZE), seed=3)
    resumed.set_start(consumed)
    assert take(resumed, 10) == whole[consumed:]


def test_ranks_share_the_stream_without_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = take(ResumableSampler(range(SIZE), seed=3), 12)
    ranks = []
    for rank in range(3):
        monkeypatch.setattr("mapstack.datasets.sampler.get_dist_info", lambda rank=rank: (rank, 3))
        sampler = ResumableSampler(range(SIZE), seed=3)
        sampler.set_start(1)
        assert len(sampler) == 3
        ranks.append(take(sampler, 3))
    assert [item for items in zip(*ranks, strict=True) for item in items] == alone[3:]


def test_another_seed_is_another_stream_and_no_shuffle_is_the_order() -> None:
    assert take(ResumableSampler(range(SIZE), seed=3), SIZE) != take(ResumableSampler(range(SIZE), seed=4), SIZE)
    assert [index for index, _ in take(ResumableSampler(range(SIZE), shuffle=False, seed=0), 9)] == [*range(7), 0, 1]


def test_an_empty_index_is_refused() -> None:
    with pytest.raises(ConfigError, match="no frame"):
        ResumableSampler([], seed=0)
