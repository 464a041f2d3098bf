"""State of a stream of frames: passed in, returned, and never kept on a module."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mapstack.geometry.se3 import invert
from mapstack.structures import MapDataSample

__all__ = ["Past", "StreamPlan", "StreamState"]


@dataclass(frozen=True)
class Past:
    """What B frames know of the frame before each.

    Args:
        tensors: by name, B rows each; meaningless where ``valid`` is False.
        valid: (B,) bool, False for the first frame of a scene.
        previous_from_current: (B, 4, 4) float32, the motion of the BEV frame between the two; the identity where
            ``valid`` is False.
    """

    tensors: dict[str, Tensor]
    valid: Tensor
    previous_from_current: Tensor

    @classmethod
    def none(cls, tensors: dict[str, Tensor], like: Tensor) -> "Past":
        """No past for the (B, ...) rows of ``like``; ``tensors`` have one row each."""
        batch = like.shape[0]
        return cls(
            {name: value.expand(batch, *value.shape[1:]) for name, value in tensors.items()},
            torch.zeros_like(like.reshape(batch, -1)[:, 0], dtype=torch.bool),
            torch.eye(4, device=like.device).expand(batch, 4, 4),
        )


@dataclass(frozen=True)
class StreamState:
    """What the last frames of S streams leave for the next ones.

    Args:
        tensors: by name, S rows each.
        frames: S frames that the rows are of: ``scene``, ``timestamp_ns`` and ``world_from_bev`` (4, 4) float64.
    """

    tensors: dict[str, Tensor]
    frames: tuple[tuple[str, int, NDArray], ...]


@dataclass(frozen=True)
class _Step:
    """Frames that can be run at once: their rows in the batch, and the pool row that each continues (0: none)."""

    rows: list[int]
    parents: list[int]
    previous_from_current: Tensor


class StreamPlan:
    """In which order the frames of a batch are run, and which earlier frame each one continues.

    A frame continues the frame before it in the batch, or else a row of ``state``, when the two are of one scene and
    the second is later by no more than ``max_gap_s``; otherwise it starts with no past. So clips of any length, single
    frames, and consecutive batches of one drive all go through the same code.

    Args:
        samples: N frames with ``scene``, ``timestamp_ns`` and ``world_from_bev``.
        state: what the batch before left; None starts anew.
        max_gap_s: the longest time between frames that belong together.
    """

    def __init__(self, samples: Sequence[MapDataSample], state: StreamState | None, max_gap_s: float) -> None:
        self._state, self._max_gap_s = state, max_gap_s
        before = list(state.frames) if state is not None else []
        self._num_before = len(before)
        batch = [(s.scene, int(s.timestamp_ns), np.asarray(s.world_from_bev, np.float64)) for s in samples]
        self._frames = [*before, *batch]  # those of the state, then those of the batch: what indices below count
        parents = {i: self._parent(i) for i in range(len(before), len(self._frames))}
        depth: dict[int | None, int] = dict.fromkeys([None, *range(len(before))], -1)
        for i, parent in parents.items():
            depth[i] = depth[parent] + 1
        # Row 0 of the pool is "no past", then the state's rows, then the batch's frames in the order they are run.
        self._place: dict[int | None, int] = {None: 0, **{i: i + 1 for i in range(len(before))}}
        self.steps: list[_Step] = []
        for level in range(max(depth.values()) + 1):
            step = [i for i in parents if depth[i] == level]
            motion = np.stack([self._motion(parents[i], i) for i in step])
            self.steps.append(
                _Step(
                    rows=[i - len(before) for i in step],
                    parents=[self._place[parents[i]] for i in step],
                    previous_from_current=torch.from_numpy(motion.astype(np.float32)),
                )
            )
            self._place |= {i: len(self._place) + k for k, i in enumerate(step)}
        continued = set(parents.values())
        self._last = [i for i in parents if i not in continued]

    def _parent(self, index: int) -> int | None:
        """The frame that one of the batch continues."""
        if index > self._num_before and self._follows(index - 1, index):
            return index - 1
        found = [i for i in range(self._num_before) if self._follows(i, index)]
        return max(found, key=lambda i: self._frames[i][1], default=None)

    def _follows(self, first: int, second: int) -> bool:
        (scene, then, _), (other_scene, now, _) = self._frames[first], self._frames[second]
        return scene == other_scene and 0 < now - then <= self._max_gap_s * 1e9

    def _motion(self, previous: int | None, current: int) -> NDArray:
        # In float64: world coordinates are thousands of metres, and their difference is what counts.
        return np.eye(4) if previous is None else invert(self._frames[previous][2]) @ self._frames[current][2]

    def unroll(
        self, initial: dict[str, Tensor], run: Callable[[list[int], Past], tuple[object, dict[str, Tensor]]]
    ) -> tuple[list[object], dict[str, Tensor]]:
        """Run the steps in order.

        Args:
            initial: one row for each tensor of the state: what a frame without past starts from.
            run: takes the batch rows of a step and their :class:`Past`; returns anything, and the tensors to remember.

        Returns:
            What ``run`` returned, by step, and the tensors of the frames that nobody in the batch continues.
        """
        pool = {
            name: value if self._state is None else torch.cat([value, self._state.tensors[name]])
            for name, value in initial.items()
        }
        outputs = []
        for step in self.steps:
            device = next(iter(initial.values())).device
            parents = torch.tensor(step.parents, device=device)
            tensors = {name: value.index_select(0, parents) for name, value in pool.items()}
            output, memory = run(step.rows, Past(tensors, parents > 0, step.previous_from_current.to(device)))
            outputs.append(output)
            pool = {name: torch.cat([value, memory[name]]) for name, value in pool.items()}
        last = torch.tensor([self._place[i] for i in self._last], device=parents.device)
        return outputs, {name: value.index_select(0, last) for name, value in pool.items()}

    def in_batch_order(self, outputs: Sequence[Tensor]) -> Tensor:
        """Put tensors by step, as :meth:`unroll` returns them, back into the batch's order."""
        order = torch.tensor([i for step in self.steps for i in step.rows], device=outputs[0].device)
        return torch.cat(list(outputs)).index_select(0, order.argsort())

    def state(self, tensors: dict[str, Tensor]) -> StreamState:
        """The state to pass on, of tensors that :meth:`unroll` returned."""
        return StreamState(tensors, tuple(self._frames[i] for i in self._last))
