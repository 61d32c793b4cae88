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

import asyncio
import contextlib
import functools
import inspect
import json
import types
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Mapping,
)
from datetime import timedelta
from typing import Any, Literal, ParamSpec, TypedDict, TypeVar, Unpack, cast

from sutazai import _sutazai
from sutazai._errors import DeadlineExceeded

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
    if given is True:
        return {}
    if isinstance(given, Mapping):
        return dict(given)
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
      are judged: a lost connection is, a `ValueError` is not.
    - A function that calls itself through a bulkhead waits for its own place: give the guard a `timeout`.
    - What blocks (`run`, a plain function) blocks the thread in its waits too, an asyncio loop's with it.
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
        shared = _PROGRAM if kernel is None else kernel._shared_parts()
        self.name = name
        self._native = _sutazai._Guard(name, json.dumps(policy), shared, kernel, on, seed)

    def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls `function`, as often as it takes, and blocks meanwhile."""
        return cast(R, self._native.run(function, *args, **kwargs))

    async def arun(
        self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Awaits what `function` gives, as often as it takes.

        Each try of a guard that hedges runs in a task of its own, whose context is a copy."""
        return await _awaited(self._native, function)(*args, **kwargs)

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
            guarded = _awaited(self._native, cast(Callable[..., Awaitable[Any]], function))
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
        self._native.set_policy(json.dumps(policy))

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


#: How a try goes on, as `_GuardSteps.way` has it.
_WAITS, _HEDGED = 1, 2


def _awaited(
    native: _sutazai._Guard, function: Callable[..., Awaitable[R]]
) -> Callable[..., Coroutine[Any, Any, R]]:
    """The guarded form of a coroutine function. Most answers are there at once, and need no timer and no
    task."""
    begin, raised, first = native.begin, native.raised, _sutazai._GuardSteps.first

    async def guarded(*args: Any, **kwargs: Any) -> R:
        steps = begin()
        try:
            while True:
                way = steps.way
                if way == _WAITS:
                    await _place(native, steps)
                    way = steps.way
                # Its deadline is in force for all of the try, until it has succeeded or raised: what it
                # begins has no more time, at whichever await.
                try:
                    if way == _HEDGED:
                        answer = await _hedged(native, steps, function, args, kwargs)
                    else:
                        awaitable = function(*args, **kwargs)
                        if type(awaitable) is types.CoroutineType:
                            done, answer = first(awaitable)
                            if not done:
                                answer = await _rest(native, steps, _resume(awaitable, answer))
                        else:
                            answer = await _rest(native, steps, awaitable)
                except BaseException as error:
                    pause = raised(steps, error)
                    if pause is None:
                        raise
                    failed = error
                else:
                    steps.succeeded()
                    return answer
                await _sleep(native, pause)
                if not steps.again():
                    raise failed
        except BaseException:
            # Not `finally`: what has succeeded is closed already.
            steps.close()
            raise

    return guarded


class _Alarm:
    """A future that is done after a time: of the loop's clock, or of a kernel's virtual time."""

    __slots__ = ("_timer", "future")

    def __init__(self, native: _sutazai._Guard, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = loop.create_future()
        ring, future = _ring, self.future

        def tell() -> None:
            try:
                loop.call_soon_threadsafe(ring, future)
            except RuntimeError:
                pass  # the loop is closed: nobody waits

        self._timer: asyncio.TimerHandle | _sutazai._Timer = native.after(
            seconds, tell
        ) or loop.call_later(seconds, ring, future)

    def cancel(self) -> None:
        self._timer.cancel()


def _ring(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _sleep(native: _sutazai._Guard, seconds: float) -> None:
    if not native.virtual:
        await asyncio.sleep(seconds)
        return
    alarm = _Alarm(native, seconds)
    try:
        await alarm.future
    finally:
        alarm.cancel()


@contextlib.asynccontextmanager
async def _no_longer(
    native: _sutazai._Guard, left: float | None, message: str
) -> AsyncGenerator[None]:
    """Cancels what is awaited in the block when its time is up."""
    if left is None:
        yield
        return
    scope = asyncio.timeout(None if native.virtual else left)
    alarm = None
    try:
        async with scope:
            if native.virtual:
                alarm = _Alarm(native, left)
                alarm.future.add_done_callback(lambda _: _expire(scope))
            yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise DeadlineExceeded(message) from None
    finally:
        if alarm is not None:
            alarm.cancel()


def _expire(scope: asyncio.Timeout) -> None:
    try:
        scope.reschedule(asyncio.get_running_loop().time())
    except RuntimeError:
        pass  # it was over already


_LATE = "the call did not answer before the deadline of its guard"


async def _place(native: _sutazai._Guard, steps: _sutazai._GuardSteps) -> None:
    """Waits for a place in the bulkhead, as long as the call has time."""
    loop = asyncio.get_running_loop()
    there: asyncio.Future[None] = loop.create_future()

    def told() -> None:
        try:
            loop.call_soon_threadsafe(_ring, there)
        except RuntimeError:
            steps.close()  # the loop is closed: nobody waits, and the place is for another

    left = native.left(steps)
    steps.on_place(told)
    async with _no_longer(native, left, "the bulkhead had no place before the deadline"):
        await there
    steps.enter()


async def _rest(
    native: _sutazai._Guard, steps: _sutazai._GuardSteps, awaitable: Awaitable[R]
) -> R:
    """Awaits something until the deadline."""
    left = native.left(steps)
    if left is None:
        return await awaitable
    async with _no_longer(native, left, _LATE):
        return await awaitable


async def _hedged(
    native: _sutazai._Guard,
    steps: _sutazai._GuardSteps,
    function: Callable[..., Awaitable[R]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> R:
    """Makes a try and, when it takes longer than most and the budget pays, a second one beside it. The
    first answer counts, and the other try is cancelled; one that fails leaves the other its time."""
    loop = asyncio.get_running_loop()
    left, due = native.left(steps), native.hedge_in(steps)

    async def one() -> R:
        return await function(*args, **kwargs)

    def begin(second: bool) -> asyncio.Task[R]:
        task = loop.create_task(one())
        # A try that is cancelled may work on: it has its place until it has ended.
        place = steps.take_place(second)
        if place is not None:
            task.add_done_callback(lambda _: place.leave())
        return task

    tries = [begin(False)]
    late = None if left is None else _Alarm(native, left)
    hedge = None if due is None else _Alarm(native, due)
    try:
        while True:
            waits_for: list[asyncio.Future[Any]] = [*tries]
            waits_for.extend(alarm.future for alarm in (late, hedge) if alarm is not None)
            await asyncio.wait(waits_for, return_when=asyncio.FIRST_COMPLETED)
            for which, this in enumerate(tries):
                if this.done() and not this.cancelled() and this.exception() is None:
                    steps.won(which == 1)
                    return this.result()
            for this in [this for this in tries if this.done()]:
                if len(tries) == 1:
                    return this.result()  # raises
                error = asyncio.CancelledError() if this.cancelled() else this.exception()
                assert error is not None
                native.lost(steps, tries.index(this) == 1, error)
                tries.remove(this)
            if late is not None and late.future.done():
                # As with one try, the call ends when what it has cancelled has.
                await _end(tries)
                raise DeadlineExceeded(_LATE)
            if hedge is not None and hedge.future.done():
                hedge = None
                if len(tries) == 1 and steps.hedge():
                    tries.append(begin(True))
    except asyncio.CancelledError:
        await _end(tries)
        raise
    finally:
        for alarm in (late, hedge):
            if alarm is not None:
                alarm.cancel()
        for this in tries:
            if this.done():
                _gone(this)
            else:
                this.cancel()
                _leaving.add(this)
                this.add_done_callback(_gone)


async def _end(tries: list[asyncio.Task[R]]) -> None:
    for this in tries:
        this.cancel()
    await asyncio.gather(*tries, return_exceptions=True)


#: Tries that were cancelled because another one was quicker; asyncio holds its tasks weakly.
_leaving: set[asyncio.Task[Any]] = set()


def _gone(task: asyncio.Task[Any]) -> None:
    _leaving.discard(task)
    if not task.cancelled():
        task.exception()  # nobody wants it


@types.coroutine
def _resume(coroutine: Coroutine[Any, Any, R], first: Any) -> Generator[Any, Any, R]:
    """Goes on with a coroutine that was begun and has yielded `first`."""
    waits_for = first
    try:
        while True:
            try:
                sent = yield waits_for
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:
                waits_for = coroutine.throw(error)
            else:
                waits_for = coroutine.send(sent)
    except StopIteration as stop:
        return cast(R, stop.value)
