from itertools import islice

import pytest

from mapstack.datasets.sampler import ClipSampler, ResumableSampler
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


class Drives:
    """A dataset of which only the scenes count: of 5, 2 and 4 frames."""

    scenes = ("a",) * 5 + ("b",) * 2 + ("c",) * 4

    def __len__(self) -> int:
        return len(self.scenes)


def test_clips_are_consecutive_frames_of_one_scene_and_each_comes_once_a_pass() -> None:
    items = take(ClipSampler(Drives(), 3, seed=1), 2 * 3 * 5)
    clips = [items[i : i + 3] for i in range(0, len(items), 3)]
    assert all([index - clip[0][0] for index, _ in clip] == [0, 1, 2] for clip in clips)
    starts = [clip[0][0] for clip in clips]
    assert sorted(starts[:5]) == sorted(starts[5:]) == [0, 1, 2, 7, 8]
    assert starts[:5] != starts[5:]
    assert all(len({seed for _, seed in clip}) == 1 for clip in clips), "a clip must be augmented alike"
    assert len({clip[0][1] for clip in clips}) == len(clips)


@pytest.mark.parametrize("clips", [0, 1, 4, 5, 13])
def test_a_resumed_stream_of_clips_goes_on_exactly(clips: int) -> None:
    whole = take(ClipSampler(Drives(), 3, seed=3), 3 * clips + 12)
    resumed = ClipSampler(Drives(), 3, seed=3)
    resumed.set_start(3 * clips)
    assert take(resumed, 12) == whole[3 * clips :]


def test_ranks_share_the_clips_without_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = take(ClipSampler(Drives(), 2, seed=3), 12)
    ranks = []
    for rank in range(2):
        monkeypatch.setattr("mapstack.datasets.sampler.get_dist_info", lambda rank=rank: (rank, 2))
        ranks.append(take(ClipSampler(Drives(), 2, seed=3), 6))
    assert ranks[0] == alone[0:2] + alone[4:6] + alone[8:10]
    assert ranks[1] == alone[2:4] + alone[6:8] + alone[10:12]


def test_clips_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="no scene has 6 frames"):
        ClipSampler(Drives(), 6, seed=0)
    with pytest.raises(ConfigError, match="multiple of clip_length"):
        ClipSampler(Drives(), 3, seed=0).set_start(4)
