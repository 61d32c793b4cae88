"""Guards around what is awaited: hedging, virtual time, and what is carried into nested calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sutazai


@pytest.fixture
def virtual() -> Iterator[sutazai.Kernel]:
    with sutazai.Kernel(clock="virtual") as kernel:
        yield kernel


async def settle() -> None:
    """Lets everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


class Tries:
    """A function whose tries are answered by the test."""

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[str]] = []

    async def __call__(self) -> str:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        return await future


def hedged(kernel: sutazai.Kernel, **more: Any) -> sutazai.Guard:
    return sutazai.Guard("h", hedge={"min_ms": 20, "budget": 1.0}, kernel=kernel, **more)


async def slow(kernel: sutazai.Kernel, guard: sutazai.Guard) -> tuple[asyncio.Task[str], Tries]:
    """A call with two tries under way."""
    tries = Tries()
    call = asyncio.ensure_future(guard.arun(tries))
    await settle()
    kernel.advance(0.019)
    await settle()
    assert len(tries.futures) == 1
    kernel.advance(0.001)
    await settle()
    assert len(tries.futures) == 2
    return call, tries


@pytest.mark.parametrize("winner", [0, 1])
def test_the_first_answer_counts_and_the_other_try_is_cancelled(
    virtual: sutazai.Kernel, winner: int
) -> None:
    async def main() -> None:
        guard = hedged(virtual, breaker={"consecutive": 1})
        call, tries = await slow(virtual, guard)
        tries.futures[winner].set_result("answer")
        assert await call == "answer"
        await settle()
        assert tries.futures[1 - winner].cancelled()
        status = guard.status()
        assert (status["hedges"], status["breaker"]["state"]) == (1, "closed")

    asyncio.run(main())


@pytest.mark.parametrize("fails", [0, 1])
def test_a_try_that_fails_leaves_the_other_its_time(virtual: sutazai.Kernel, fails: int) -> None:
    async def main() -> None:
        call, tries = await slow(virtual, hedged(virtual))
        tries.futures[fails].set_exception(ConnectionResetError("lost"))
        await settle()
        assert not call.done()
        tries.futures[1 - fails].set_result("answer")
        assert await call == "answer"

    asyncio.run(main())


def test_when_both_fail_so_does_the_call_and_is_tried_again(virtual: sutazai.Kernel) -> None:
    async def main() -> None:
        guard = hedged(virtual, retry={"attempts": 2, "base_ms": 0, "max_ms": 0})
        call, tries = await slow(virtual, guard)
        for future in tries.futures[:2]:
            future.set_exception(ConnectionResetError("lost"))
        await settle()
        virtual.advance(0.001)
        await settle()
        assert len(tries.futures) == 3
        tries.futures[2].set_exception(ConnectionResetError("lost again"))
        with pytest.raises(ConnectionResetError, match="again"):
            await call

    asyncio.run(main())


def test_both_are_given_up_at_the_deadline(virtual: sutazai.Kernel) -> None:
    async def main() -> None:
        call, tries = await slow(virtual, hedged(virtual, timeout=1))
        virtual.advance(1)
        with pytest.raises(sutazai.DeadlineExceeded):
            await call
        await settle()
        assert all(future.cancelled() for future in tries.futures)

    asyncio.run(main())


def test_cancelling_a_hedged_call_cancels_both_tries(virtual: sutazai.Kernel) -> None:
    async def main() -> None:
        guard = hedged(virtual, bulkhead={"concurrency": 2})
        call, tries = await slow(virtual, guard)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert all(future.cancelled() for future in tries.futures)
        assert guard.status()["bulkhead"]["running"] == 0

    asyncio.run(main())


def test_a_quick_call_is_not_made_twice() -> None:
    made = 0

    @sutazai.guard(hedge={"min_ms": 5_000})
    async def quick() -> int:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        return made

    assert asyncio.run(quick()) == 1


def test_the_wait_for_another_try_is_virtual(virtual: sutazai.Kernel) -> None:
    async def main() -> None:
        made = 0

        @sutazai.guard(kernel=virtual, retry={"attempts": 2, "base_ms": 3_600_000, "max_ms": 3_600_000, "jitter": "none"})
        async def call() -> int:
            nonlocal made
            made += 1
            if made == 1:
                raise ConnectionResetError
            return made

        task = asyncio.ensure_future(call())
        await settle()
        virtual.advance(3_599)
        await settle()
        assert made == 1
        virtual.advance(1)
        assert await task == 2

    asyncio.run(main())


def test_a_timeout_is_virtual(virtual: sutazai.Kernel) -> None:
    async def main() -> None:
        @sutazai.guard(kernel=virtual, timeout=3_600)
        async def hangs() -> None:
            await asyncio.Event().wait()

        task = asyncio.ensure_future(hangs())
        await settle()
        virtual.advance(3_599)
        await settle()
        assert not task.done()
        virtual.advance(2)
        with pytest.raises(sutazai.DeadlineExceeded):
            await task

    asyncio.run(main())


def test_a_deadline_is_carried_into_what_is_awaited() -> None:
    left: list[float | None] = []

    @sutazai.guard(timeout=3_600, attempt_timeout=3_600)
    async def inner(waits: bool) -> None:
        left.append(sutazai.time_left())
        if waits:
            await asyncio.sleep(0)
        left.append(sutazai.time_left())

    @sutazai.guard(timeout=60)
    async def outer() -> None:
        await inner(False)
        await asyncio.sleep(0)
        await inner(True)
        left.append(sutazai.time_left())

    async def main() -> None:
        await outer()
        assert sutazai.time_left() is None

    asyncio.run(main())
    assert len(left) == 5
    assert all(time is not None and 0 < time <= 60 for time in left), left


def test_an_inner_guard_gives_up_at_the_outer_deadline() -> None:
    made = 0

    @sutazai.guard(retry={"attempts": 5, "base_ms": 60_000, "max_ms": 60_000, "jitter": "none"})
    async def inner() -> None:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        raise ConnectionResetError

    @sutazai.guard(timeout=5)
    async def outer() -> None:
        await asyncio.sleep(0)
        await inner()

    with pytest.raises(ConnectionResetError):
        asyncio.run(outer())
    assert made == 1  # the wait for another would end after the deadline


def test_tasks_beside_one_another_have_their_own_time() -> None:
    async def one(seconds: float) -> float | None:
        with sutazai.within(timeout=seconds):
            for _ in range(3):
                await asyncio.sleep(0)
            return sutazai.time_left()

    async def main() -> None:
        short, long = await asyncio.gather(one(10), one(1_000))
        assert short is not None and long is not None and short <= 10 < long

    asyncio.run(main())


def test_within_a_block_there_is_no_more_time_than_around_it() -> None:
    with sutazai.within(timeout=10, priority=7):
        with sutazai.within(timeout=100):
            left = sutazai.time_left()
            assert left is not None and left <= 10
            assert sutazai.priority() == 7
        with sutazai.within(priority=200):
            assert sutazai.priority() == 200
    assert (sutazai.time_left(), sutazai.priority()) == (None, 128)


@pytest.mark.parametrize("wrong", [0, 256, "high", True, 1.5])
def test_a_priority_is_a_number(wrong: Any) -> None:
    with pytest.raises(ValueError, match="from 1 to 255"):
        with sutazai.within(priority=wrong):
            pass


@pytest.mark.parametrize("coroutine", [False, True])
def test_an_agent_is_as_urgent_as_its_call_and_has_its_time(coroutine: bool) -> None:
    seen: list[tuple[float | None, int]] = []
    with sutazai.Kernel() as kernel:

        def look() -> None:
            seen.append((sutazai.time_left(), sutazai.priority()))

        async def alook(_: object) -> None:
            look()
            await asyncio.sleep(0)
            look()

        kernel.agent(name="look")(alook if coroutine else lambda _: look())
        kernel.call("look", timeout=30, priority=200)
        with sutazai.within(timeout=30, priority=3):
            kernel.call("look")
        kernel.call("look")

    half = len(seen) // 3
    urgent, nested, plain = seen[:half], seen[half : 2 * half], seen[2 * half :]
    for got, priority in ((urgent, 200), (nested, 3)):
        assert all(left is not None and left <= 30 and p == priority for left, p in got), seen
    assert all(p == 128 for _, p in plain), seen


def test_waiting_calls_go_in_by_their_priority() -> None:
    guard = sutazai.Guard("b", bulkhead={"concurrency": 1, "queue": 5})
    order: list[str] = []

    async def call(name: str, priority: int) -> None:
        async def work() -> None:
            order.append(name)
            await asyncio.sleep(0)

        with sutazai.within(priority=priority):
            await guard.arun(work)

    async def main() -> None:
        await asyncio.gather(call("first", 1), call("low", 1), call("mid", 128), call("high", 9 * 9))

    asyncio.run(main())
    assert order == ["first", "mid", "high", "low"]


def test_blocking_calls_wait_by_their_priority_too() -> None:
    guard = sutazai.Guard("b", bulkhead={"concurrency": 1, "queue": 5})
    order: list[int] = []
    may_end = threading.Event()

    def call(priority: int) -> None:
        with sutazai.within(priority=priority):
            guard.run(order.append, priority)

    holds = threading.Thread(target=guard.run, args=(may_end.wait,))
    holds.start()
    waiting = [threading.Thread(target=call, args=(priority,)) for priority in (5, 99, 50)]
    for n, thread in enumerate(waiting, 1):
        thread.start()
        while guard.status()["bulkhead"]["waiting"] < n:
            pass
    may_end.set()
    for thread in [holds, *waiting]:
        thread.join()
    assert order == [99, 50, 5]


def test_a_kernel_hedges_its_calls(virtual: sutazai.Kernel) -> None:
    held: dict[str, list[sutazai.Reply]] = {"a": [], "b": []}
    for name, replies in held.items():

        def keep(_: object, reply: sutazai.Reply, replies: list[sutazai.Reply] = replies) -> None:
            replies.append(reply)

        virtual.agent(name=name, skills=["work"], reply=True, inline=True)(keep)
    policy = {"hedge": {"min_ms": 20, "budget": 1.0}}
    virtual.invoke("recovery.guard_set", calls="all", policy=policy)
    ticket = virtual.submit("work")
    virtual.advance(0.02)
    assert [len(replies) for replies in held.values()] == [1, 1]
    held["b"][0].send("answer")
    assert ticket.result() == "answer"
    assert held["a"][0].cancelled
