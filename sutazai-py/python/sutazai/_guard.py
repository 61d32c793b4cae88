"""Guards: retry, budget, breaker, bulkhead, rate limit and timeout around a function.

>>> import sutazai
>>> tries = []
>>> @sutazai.guard(retry={"attempts": 3, "base_ms": 1}, breaker=True, timeout=5)
... def flaky(word):
...     tries.append(word)
...     if len(tries) < 3:
...         raise ConnectionResetError("try again")
...     return word
>>> flaky("hello")
'hello'
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Literal, ParamSpec, TypedDict, TypeVar, Unpack, cast

from sutazai import _sutazai
from sutazai._awaited import awaited
from sutazai._limit import LimitPolicy

__all__ = [
    "BreakerPolicy",
    "BudgetPolicy",
    "BulkheadPolicy",
    "Guard",
    "GuardOptions",
    "HedgePolicy",
    "RatePolicy",
    "RetryPolicy",
    "Share",
    "guard",
]

P = ParamSpec("P")
R = TypeVar("R")


class RetryPolicy(TypedDict, total=False):
    """How failures are tried again; see `sutazai_core::recovery::RetryPolicy`."""

    attempts: int
    """Tries in all, the first one included. Default 5."""
    base_ms: int
    """The first step of the backoff; each further one is twice as long. Default 100."""
    max_ms: int
    """The longest step. Default 10,000."""
    jitter: Literal["full", "equal", "decorrelated", "none"]
    """How chance spreads the waits. Default `equal`."""
    hinted: int
    """Waits that the target has asked for and that use up no try. Default 10."""


class BudgetPolicy(TypedDict, total=False):
    """What retries are paid from."""

    capacity: float
    """Tokens that it holds at most, and at first. Default 16."""
    per_success: float
    """Tokens that a call that succeeds puts back. Default 0.1."""
    per_second: float
    """Tokens that come back each second by themselves. Default 0.05."""
    cost: float
    """Tokens that a retry takes. Default 1."""
    timeout_cost: float
    """Tokens that a retry takes after a call that ran out of time. Default 2."""


class BreakerPolicy(TypedDict, total=False):
    """When a circuit breaker opens, and how it closes again."""

    consecutive: int
    """Opens after so many failures in a row. Default 0: off."""
    failure_rate: float
    """Opens when this share of the window's calls failed. Default 0.5."""
    slow_rate: float
    """Opens when this share of the window's calls was slow. Default 0: off."""
    slow_ms: int
    """A call that takes longer is slow. Default 1,000."""
    window: Mapping[Literal["calls", "time_ms"], int]
    """What the rates are taken over: the last calls, or the last milliseconds. Default 100 calls."""
    minimum: int
    """Calls that the window must hold before a rate counts. Default 20."""
    open_ms: int
    """How long it stays open before it tries a probe. Default 5,000."""
    open_max_ms: int
    """The same, at most, when probes keep failing. Default 60,000."""
    probes: int
    """Probes at once, at first. Default 1."""
    close_after: int
    """Probes that must succeed before it closes. Default 10."""
    counts: list[Literal["transient", "persistent", "critical"]]
    """Which classes of error count as failures. Default transient and critical."""


class BulkheadPolicy(TypedDict, total=False):
    """How many calls run at once and wait."""

    concurrency: int
    """Calls that run at once. Default 64."""
    queue: int
    """Calls that may wait for a place. Default 64."""
    adapt: LimitPolicy
    """Finds out, from what calls take, how many the target can take at once, and lets in no more."""


class RatePolicy(TypedDict, total=False):
    """How many calls are made in which time."""

    calls: int
    """Calls in each period. Default 100."""
    period_ms: int
    """The period. Default 1,000."""
    burst: int
    """Calls at once after a pause. Default 0: as many as `calls`."""


class HedgePolicy(TypedDict, total=False):
    """A second try beside a first one that is slow; the first answer counts, and the other try is cancelled.
    For what is awaited, and may be done twice."""

    quantile: float
    """When the first has taken longer than this share of recent calls. Default 0.95."""
    min_ms: int
    """But not before so long. Default 20."""
    budget: float
    """Second calls as a share of all. Default 0.05."""


class Share(TypedDict, total=False):
    """The names of parts that several guards share."""

    budget: str
    breaker: str
    bulkhead: str
    rate: str


#: The parts that guards share by name when they belong to no kernel.
_PROGRAM = _sutazai._SharedParts()


def _part(name: str, given: Any) -> dict[str, Any] | None:
    if given is False and name == "budget":
        raise ValueError(
            "retries are always paid from a budget: leave it out, or give it a larger capacity"
        )
    if given is None or given is False:
        return None
    if given is True and name != "share":
        return {}
    if isinstance(given, Mapping):
        return dict(given)
    if name == "share":
        raise TypeError(f"share must be a mapping of parts to names, not {type(given).__name__}")
    raise TypeError(f"{name} must be True, False or a mapping, not {type(given).__name__}")


#: Seconds; what is longer ends never.
_LONGEST = 1e12


def _milliseconds(name: str, given: float | timedelta | None) -> int | None:
    if given is None:
        return None
    seconds = _sutazai._seconds(name, given)
    if not seconds > 0:
        raise ValueError(f"{name} must be more than 0, not {given}")
    # `math.inf` is no bound at all.
    return max(1, round(seconds * 1000)) if seconds < _LONGEST else None


def policy_of(
    *,
    timeout: float | timedelta | None = None,
    attempt_timeout: float | timedelta | None = None,
    **parts: Any,
) -> dict[str, Any]:
    """A policy in the form of the operations."""
    policy: dict[str, Any] = {
        "timeout_ms": _milliseconds("timeout", timeout),
        "attempt_timeout_ms": _milliseconds("attempt_timeout", attempt_timeout),
        **{name: _part(name, given) for name, given in parts.items()},
    }
    return {name: value for name, value in policy.items() if value is not None}


class Guard:
    """What stands between a call and trouble. Use it as a decorator, or `run` and `arun` a function.

    A part is `True` for its defaults, or a mapping with what differs from them. What is given without
    `retry` is never tried again. The exception that the function raised is what its caller gets; a note
    says how often it was tried.

    - `timeout`: seconds for the whole call, `attempt_timeout` for each try. An awaited try is
      cancelled then; one that blocks is not interrupted, and only not tried again.
    - `on`: the exception class, or a tuple of them, that is worth another try. Without it exceptions
      are judged: a lost connection is, a `ValueError` is not, one that says nothing of it (a plain
      `RuntimeError`, a class of your own) is. `kernel.classification` says of each what it is, and why.
    - A function that calls itself through a bulkhead waits for its own place: give the guard a `timeout`.
    - What blocks (`run`, a plain function) blocks the thread in its waits too, an asyncio loop's with it;
      where it would have to wait for a place there, it raises `WouldDeadlock`.
    - `kernel`: takes time, virtual time too, and named parts from this kernel. Without it the
      program's guards share parts by name, on the system's clock.
    """

    def __init__(
        self,
        name: str = "guard",
        *,
        timeout: float | timedelta | None = None,
        attempt_timeout: float | timedelta | None = None,
        retry: bool | RetryPolicy | None = None,
        budget: bool | BudgetPolicy | None = None,
        breaker: bool | BreakerPolicy | None = None,
        bulkhead: bool | BulkheadPolicy | None = None,
        rate: bool | RatePolicy | None = None,
        hedge: bool | HedgePolicy | None = None,
        share: Share | None = None,
        on: type[BaseException] | tuple[type[BaseException], ...] | None = None,
        kernel: _sutazai.Kernel | None = None,
        seed: int | None = None,
    ) -> None:
        policy = policy_of(
            timeout=timeout,
            attempt_timeout=attempt_timeout,
            retry=retry,
            budget=budget,
            breaker=breaker,
            bulkhead=bulkhead,
            rate=rate,
            hedge=hedge,
            share=share,
        )
        if on is not None:
            isinstance(None, on)  # what is no class raises here, and not at the first failure
        if kernel is not None and not isinstance(kernel, _sutazai.Kernel):
            raise TypeError(f"kernel must be a Kernel, not {type(kernel).__name__}")
        shared = _PROGRAM if kernel is None else kernel._shared_parts()
        self.name = name
        self._native = _sutazai._Guard(name, policy, shared, kernel, on, seed)

    def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls `function`, as often as it takes, and blocks meanwhile."""
        return cast(R, self._native.run(function, *args, **kwargs))

    async def arun(
        self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Awaits what `function` gives, as often as it takes.

        Each try of a guard that hedges runs in a task of its own, whose context is a copy."""
        return await awaited(self._native, function)(*args, **kwargs)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Guards `function`, a coroutine function or a plain one."""
        if not callable(function) or isinstance(function, (staticmethod, classmethod)):
            kind = type(function).__name__
            more = ": put the guard below it" if kind in ("classmethod", "staticmethod") else ""
            raise TypeError(f"a guard goes around a function, not a {kind}{more}")
        for kind, is_kind in _NOT_GUARDED.items():
            if is_kind(inspect.unwrap(function)):
                raise TypeError(
                    f"a guard goes around a function or a coroutine function, not {kind}, whose work comes "
                    "after its call: guard its methods, or what uses it"
                )
        guarded: Any
        if _is_coroutine(function):
            guarded = awaited(self._native, cast(Callable[..., Awaitable[Any]], function))
        else:
            if self._native.hedged:
                raise TypeError(
                    "a call that blocks is not hedged: leave `hedge` out, or guard a coroutine function"
                )
            run = self._native.run

            def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
                return cast(R, run(function, *args, **kwargs))

        guarded = functools.wraps(function)(guarded)
        guarded.guard = self
        return cast(Callable[P, R], guarded)

    def status(self) -> dict[str, Any]:
        """The figures: retries, hedges, and those of the parts that are on."""
        return cast(dict[str, Any], json.loads(self._native.status()))

    @property
    def policy(self) -> dict[str, Any]:
        """The policy in force, in the form of the operations: `timeout_ms`, `retry`, `breaker`, ….
        Assigning another one changes it for the calls that come, as a whole: what it leaves out is off."""
        return cast(dict[str, Any], json.loads(self._native.policy()))

    @policy.setter
    def policy(self, policy: Mapping[str, Any]) -> None:
        self._native.set_policy(dict(policy) if isinstance(policy, Mapping) else policy)

    def force(self, state: Literal["open", "closed"] | None) -> None:
        """Puts the breaker into a state that it does not leave by itself, or gives it back (None)."""
        self._native.force(state)

    def __repr__(self) -> str:
        return f"<sutazai.Guard {self.name!r}>"


_NOT_GUARDED: dict[str, Callable[[Any], bool]] = {
    "a class": inspect.isclass,
    "a generator function": inspect.isgeneratorfunction,
    "an async generator function": inspect.isasyncgenfunction,
}


def _is_coroutine(function: Any) -> bool:
    """Whether calling it gives a coroutine: a coroutine function, a partial one, or an object with one."""
    call = getattr(function, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


class GuardOptions(TypedDict, total=False):
    """The options of `Guard`, which says what they mean."""

    timeout: float | timedelta | None
    attempt_timeout: float | timedelta | None
    retry: bool | RetryPolicy | None
    budget: bool | BudgetPolicy | None
    breaker: bool | BreakerPolicy | None
    bulkhead: bool | BulkheadPolicy | None
    rate: bool | RatePolicy | None
    hedge: bool | HedgePolicy | None
    share: Share | None
    on: type[BaseException] | tuple[type[BaseException], ...] | None
    kernel: _sutazai.Kernel | None
    seed: int | None


def guard(
    name: str | None = None, **options: Unpack[GuardOptions]
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that guards a function; the options are those of `Guard`, and one at least is needed:
    `@sutazai.guard(retry=True)`.

    Each function gets a guard of its own, as its attribute `guard`. For one guard around several
    functions make a `Guard` and use it as the decorator.
    """
    if callable(name) or not options:
        raise TypeError("say what to guard with: @sutazai.guard(retry=True, breaker=True, timeout=5)")

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        own: str = name or str(getattr(function, "__qualname__", "guard"))
        return Guard(own, **options)(function)

    return decorate
