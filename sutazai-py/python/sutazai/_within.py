"""The time that work has, and how urgent it is, carried through what it calls.

>>> import sutazai
>>> with sutazai.within(timeout=5, priority=200):
...     sutazai.priority()
200
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from datetime import timedelta
from types import TracebackType
from typing import Any, TypeVar, cast

from sutazai import _sutazai
from sutazai._heal import kind_of

__all__ = ["priority", "time_left", "within"]

_F = TypeVar("_F", bound=Callable[..., Any])


class within:
    """What is called in this block, in turn and awaited as well, has no more than `timeout` seconds, and is
    as urgent as `priority` says: from 1 to 255, 128 unless somebody said otherwise. Also a decorator of
    functions and of coroutine functions, each call of which is such a block.

    Guards and kernels keep to it: a guard tries nothing again after the deadline, a kernel's call is given
    up then, and where calls wait for a place, the more urgent go first. A block within another one has no
    more time than that. It interrupts nothing by itself.

    A task that is begun in the block keeps its deadline and its priority when it outlives it. In a
    generator they are also those of its consumer while the generator is suspended in the block.
    """

    __slots__ = ("_priority", "_timeout", "_token")

    def __init__(
        self, *, timeout: float | timedelta | None = None, priority: int | None = None
    ) -> None:
        if timeout is not None:
            _sutazai._seconds("timeout", timeout)  # refuses what is none
        if priority is not None and not (
            isinstance(priority, int) and not isinstance(priority, bool) and 1 <= priority <= 255
        ):
            raise ValueError(f"priority must be an int from 1 to 255, not {priority!r}")
        self._timeout = timeout
        self._priority = priority
        self._token: Any = None

    def __enter__(self) -> None:
        if self._token is not None:
            raise RuntimeError("the block is entered already: make another one")
        self._token = self._begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        token, self._token = self._token, None
        _sutazai._uncarry(token)

    def __call__(self, function: _F, /) -> _F:
        kind = kind_of(function)
        if kind == "a coroutine function":

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                return await self._await(function(*args, **kwargs))

            return cast(_F, awaited)
        if kind:
            raise TypeError(f"within goes around a function or a coroutine function, not {kind}")

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            token = self._begin()
            try:
                given = function(*args, **kwargs)
            finally:
                _sutazai._uncarry(token)
            # As of a decorator around a coroutine function.
            return self._await(given) if inspect.iscoroutine(given) else given

        return cast(_F, called)

    async def _await(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        token = self._begin()
        try:
            return await coroutine
        finally:
            _sutazai._uncarry(token)

    def _begin(self) -> Any:
        until = None if self._timeout is None else _sutazai._until(self._timeout)
        return _sutazai._carry(until, self._priority)


def time_left() -> float | None:
    """Seconds that the present work has, by `within` blocks, guards and calls around it; None for no
    bound. By the system's clock: of no use under a kernel's virtual time."""
    return _sutazai._present()[0]


def priority() -> int:
    """How urgent the present work is: from 1 to 255."""
    return _sutazai._present()[1]
