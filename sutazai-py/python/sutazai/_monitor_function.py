"""Monitors that you write yourself."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from sutazai._loop import LoopThread

__all__ = ["MonitorFunction"]

MonitorFunction: TypeAlias = Callable[[], "Mapping[str, float] | Awaitable[Mapping[str, float]]"]
"""What measures: `kernel.add_monitor`."""


def native(sample: MonitorFunction, loop: LoopThread) -> Callable[[], dict[str, float]]:
    """The function, as the native module takes it."""
    if not callable(sample):
        raise TypeError(f"a monitor is a function, not {type(sample).__name__}")
    awaits = inspect.iscoroutinefunction(sample)

    def measure() -> dict[str, float]:
        function: Any = sample
        given: object = loop.run(function()) if awaits else function()
        if not isinstance(given, Mapping):
            raise TypeError(
                f"a monitor returns a mapping of series to numbers, not {type(given).__name__}"
            )
        return {_series(series): float(value) for series, value in given.items()}

    return measure


def _series(name: object) -> str:
    if isinstance(name, str):
        return name
    raise TypeError(f"the name of a series must be a str, not {type(name).__name__}")
