"""`within` as a decorator, and what outlives a block or is suspended in one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import sutazai


def left() -> float:
    seconds = sutazai.time_left()
    assert seconds is not None
    return seconds


def test_a_function_has_the_time_of_each_call() -> None:
    @sutazai.within(timeout=10, priority=7)
    def look(of: str) -> tuple[str, int]:
        """What it sees."""
        assert 9 < left() <= 10
        return of, sutazai.priority()

    assert (look.__name__, look.__doc__) == ("look", "What it sees.")
    assert [look("a"), look(of="b")] == [("a", 7), ("b", 7)]
    assert (sutazai.time_left(), sutazai.priority()) == (None, 128)


def test_a_coroutine_function_has_it_too() -> None:
    @sutazai.within(timeout=10, priority=7)
    async def look() -> int:
        await asyncio.sleep(0)
        assert 9 < left() <= 10
        return sutazai.priority()

    async def main() -> None:
        assert {*await asyncio.gather(look(), look())} == {7}
        assert await look() == 7
        assert (sutazai.time_left(), sutazai.priority()) == (None, 128)

    assert asyncio.iscoroutinefunction(look)
    asyncio.run(main())


def test_a_guarded_coroutine_function_has_it_too() -> None:
    @sutazai.within(priority=7)
    @sutazai.guard(retry=True)
    async def look() -> int:
        await asyncio.sleep(0)
        return sutazai.priority()

    assert asyncio.run(look()) == 7


def test_calls_at_once_do_not_disturb_one_another() -> None:
    both = threading.Barrier(2)
    seen: list[int] = []

    @sutazai.within(priority=7)
    def look(deeper: bool) -> None:
        if deeper:
            look(False)
        else:
            both.wait()
        seen.append(sutazai.priority())

    threads = [threading.Thread(target=look, args=(True,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [7] * 4


def test_a_block_may_be_entered_again_once_it_is_left() -> None:
    block = sutazai.within(priority=7)
    for _ in range(2):
        with block:
            assert sutazai.priority() == 7
            with pytest.raises(RuntimeError, match="entered already"), block:
                pass
        assert sutazai.priority() == 128


def test_generator_functions_are_refused() -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    decorate: Callable[[Any], Any] = sutazai.within(timeout=1)
    with pytest.raises(TypeError, match="not a generator function"):
        decorate(generator)
    with pytest.raises(TypeError, match="not an async generator function"):
        decorate(async_generator)


def test_what_is_wrong_is_said_at_once() -> None:
    wrong: Any = "soon"
    with pytest.raises(TypeError, match="timeout must be a number of seconds"):
        sutazai.within(timeout=wrong)
    with pytest.raises(TypeError, match="not bool True"):
        sutazai.within(timeout=True)
    with pytest.raises(ValueError, match="from 1 to 255"):
        sutazai.within(priority=0)


def test_a_task_that_outlives_the_block_keeps_its_deadline() -> None:
    async def look() -> float:
        await asyncio.sleep(0)
        return left()

    async def main() -> None:
        with sutazai.within(timeout=10):
            task = asyncio.create_task(look())
        assert sutazai.time_left() is None
        assert await task <= 10

    asyncio.run(main())


def test_the_consumer_of_a_generator_sees_what_it_is_suspended_in() -> None:
    def urgent() -> Iterator[None]:
        with sutazai.within(priority=200):
            yield

    for _ in urgent():
        assert sutazai.priority() == 200
    assert sutazai.priority() == 128
