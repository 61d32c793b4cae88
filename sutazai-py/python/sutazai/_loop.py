"""asyncio: futures that the kernel settles, tasks that it starts, and the loop that it owns.

The native module calls the functions whose names begin with an underscore.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from sutazai._sutazai import Event, Reply, Subscription, Ticket, _Bridge, _enter, _Work

_bridges: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Bridge] = (
    weakref.WeakKeyDictionary()
)
_bridges_lock = threading.Lock()


def _after_fork_in_child() -> None:
    """Another thread may have held the lock; the loops of the parent run no more."""
    global _bridges_lock
    _bridges_lock = threading.Lock()


# asyncio itself holds its tasks weakly.
_tasks: set[asyncio.Task[None]] = set()


def bridge_of(loop: asyncio.AbstractEventLoop) -> _Bridge:
    """The one bridge of a loop."""
    with _bridges_lock:
        bridge = _bridges.get(loop)
        if bridge is None:
            bridge = _bridges[loop] = _Bridge(weakref.ref(loop))
        return bridge


def _future_of(ticket: Ticket) -> asyncio.Future[Any]:
    """A future of the running loop with the ticket's answer; cancelling it cancels the call."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    if ticket.done():
        try:
            future.set_result(ticket.result())
        except Exception as error:
            future.set_exception(error)
        return future

    def cancel(future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            ticket.cancel()

    future.add_done_callback(cancel)
    ticket._settle(bridge_of(loop), future)
    return future


async def _next_part(ticket: Ticket) -> Any:
    loop = asyncio.get_running_loop()
    while (part := ticket._poll_part()) is None:
        future: asyncio.Future[None] = loop.create_future()
        ticket._wake(bridge_of(loop), future)
        await future
    if not part:
        raise StopAsyncIteration
    return part[0]


async def _next_event(subscription: Subscription) -> Event:
    loop = asyncio.get_running_loop()
    while (found := subscription._poll()) is None:
        future: asyncio.Future[None] = loop.create_future()
        subscription._wake(bridge_of(loop), future)
        # What came before the future stood in the list wakes nobody.
        if (found := subscription._poll()) is not None:
            break
        await future
    if not found:
        raise StopAsyncIteration
    return found[0]


def _spawn(
    function: Callable[..., Awaitable[object]],
    args: tuple[Any, ...],
    reply: Reply,
    work: _Work,
) -> asyncio.Task[None]:
    """Starts a coroutine agent's task on the running loop."""
    task = asyncio.get_running_loop().create_task(_run(function, args, reply, work))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


async def _run(
    function: Callable[..., Awaitable[object]],
    args: tuple[Any, ...],
    reply: Reply,
    work: _Work,
) -> None:
    _enter(work)
    try:
        value = await function(*args)
    except asyncio.CancelledError as error:
        reply._fail(error)
        raise
    # SystemExit and KeyboardInterrupt too: asyncio would take them out of its loop.
    except BaseException as error:
        reply._fail(error)
    else:
        reply._answer(value)


class LoopThread:
    """An asyncio loop on a thread of its own, started when the first agent needs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def bridge(self) -> _Bridge:
        return bridge_of(self._running())

    def run(self, coroutine: Coroutine[Any, Any, object]) -> object:
        """What a coroutine gives or raises that runs on this loop; blocks until then."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # A daemon: at exit the kernel is stopped after the other threads were joined.
                self._thread = threading.Thread(
                    target=_drive, args=(self._loop,), name="sutazai-loop", daemon=True
                )
                self._thread.start()
            return self._loop

    def stop(self, timeout: float) -> None:
        """Cancels what runs, ends the loop and its thread; gives up waiting after `timeout`."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(timeout)
            if thread.is_alive():
                _left_behind.append(thread)


# Threads of loops that had not ended when their kernel was stopped.
_left_behind: list[threading.Thread] = []


def _join_left_behind(timeout: float) -> None:
    """Waits for loops that are still ending: a thread must not be in our code at the exit."""
    end = time.monotonic() + timeout
    while _left_behind:
        _left_behind.pop().join(max(0.0, end - time.monotonic()))


def _drive(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        try:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()
