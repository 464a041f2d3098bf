"""Ordered work on a few threads of one process: NumPy and torch release Python's lock while they compute."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

__all__ = ["in_order"]

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

MAX_THREADS = 2


def in_order(work: Callable[[Item], Outcome], items: Iterable[Item]) -> Iterator[Outcome]:
    """``map(work, items)``, a few items at once, so that memory stays bounded.

    Items are drawn while no thread works: a reader that holds the lock would stall every small call of the
    threads for Python's switching interval. Each thread runs torch on one core, because torch's own thread pool
    stalls for milliseconds per call where the machine is shared.
    """
    threads = max(1, min(MAX_THREADS, len(os.sched_getaffinity(0))))
    items = iter(items)
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            while batch := list(islice(items, threads)):
                yield from pool.map(work, batch)
    finally:
        # The call in the threads set torch's default for threads yet to come; this one still knows its own.
        torch.set_num_threads(torch.get_num_threads())
