"""The time that work has, and how urgent it is, carried through what it calls.

>>> import sutazai
>>> with sutazai.within(timeout=5, priority=200):
...     sutazai.priority()
200
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

from sutazai import _sutazai

__all__ = ["priority", "time_left", "within"]


@contextmanager
def within(
    *, timeout: float | timedelta | None = None, priority: int | None = None
) -> Generator[None]:
    """What is called in this block, in turn and awaited as well, has no more than `timeout` seconds, and is
    as urgent as `priority` says: from 1 to 255, 128 unless somebody said otherwise.

    Guards and kernels keep to it: a guard tries nothing again after the deadline, a kernel's call is given
    up then, and where calls wait for a place, the more urgent go first. A block within another one has no
    more time than that. It interrupts nothing by itself.
    """
    until = None if timeout is None else _sutazai._until(timeout)
    if priority is not None and not (
        isinstance(priority, int) and not isinstance(priority, bool) and 1 <= priority <= 255
    ):
        raise ValueError(f"priority must be an int from 1 to 255, not {priority!r}")
    token = _sutazai._carry(until, priority)
    try:
        yield
    finally:
        _sutazai._uncarry(token)


def time_left() -> float | None:
    """Seconds that the present work has, by `within` blocks, guards and calls around it; None for no
    bound. By the system's clock: of no use under a kernel's virtual time."""
    return _sutazai._present()[0]


def priority() -> int:
    """How urgent the present work is: from 1 to 255."""
    return _sutazai._present()[1]
