"""Monitors that you write yourself."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from sutazai._errors import Invalid
from sutazai._loop import LoopThread

__all__ = ["MonitorFunction"]

MonitorFunction: TypeAlias = Callable[[], "Mapping[str, float] | Awaitable[Mapping[str, float]]"]
"""What measures: `kernel.add_monitor`."""


def native(sample: MonitorFunction, loop: LoopThread) -> Callable[[], dict[str, float]]:
    """The function, as the native module takes it."""
    if not callable(sample):
        raise TypeError(f"a monitor is a function, not {type(sample).__name__}")

    def measure() -> dict[str, float]:
        given: object = sample()
        if inspect.isawaitable(given):
            given = loop.run(_awaited(given))
        if not isinstance(given, Mapping):
            raise TypeError(
                f"a monitor returns a mapping of series to numbers, not {type(given).__name__}"
            )
        return {_series(series): _value(series, value) for series, value in given.items()}

    return measure


async def _awaited(given: Awaitable[object]) -> object:
    return await given


def _value(series: object, value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise Invalid(f"the value of {series!r} is too large: a float ends at about 1.8e308") from None


def _series(name: object) -> str:
    if isinstance(name, str):
        return name
    raise TypeError(f"the name of a series must be a str, not {type(name).__name__}")
