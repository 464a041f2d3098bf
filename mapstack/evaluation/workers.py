"""Ordered work on a few threads while the caller goes on reading: NumPy and torch release the lock."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["in_order"]

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

MAX_THREADS = 2


def in_order(work: Callable[[Item], Outcome], items: Iterable[Item]) -> Iterator[Outcome]:
    """``map(work, items)`` with at most a few items in flight, so that memory stays bounded.

    Each thread runs torch on one core: its own thread pool stalls for milliseconds per call where the
    machine is shared.
    """
    threads = max(1, min(MAX_THREADS, len(os.sched_getaffinity(0))))
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            running = deque()
            for item in items:
                running.append(pool.submit(work, item))
                if len(running) > threads + 1:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
    finally:
        # The call in the threads set torch's default for threads yet to come; this one still knows its own.
        torch.set_num_threads(torch.get_num_threads())
