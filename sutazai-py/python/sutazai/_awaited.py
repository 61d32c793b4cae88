"""The guarded form of a coroutine function: its tries, the waits between them, and a second try beside one
that is slow."""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar, cast

from sutazai import _sutazai
from sutazai._errors import DeadlineExceeded

R = TypeVar("R")

#: How a try goes on, as `_GuardSteps.way` has it.
_WAITS, _HEDGED = 1, 2


def awaited(
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
