"""Many calls of one skill, side by side."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest

import sutazai


def test_answers_come_in_order_and_no_more_run_than_said() -> None:
    with sutazai.Kernel() as kernel:
        most, now, lock = 0, 0, threading.Lock()

        @kernel.agent
        def work(number: int) -> int:
            nonlocal most, now
            with lock:
                now += 1
                most = max(most, now)
            with lock:
                now -= 1
            return number

        # Of inputs without end so many are taken as are asked for.
        answers = kernel.map("work", itertools.count(), side_by_side=3)
        assert list(itertools.islice(answers, 50)) == list(range(50))
        answers.close()  # type: ignore[attr-defined]
        assert 1 <= most <= 3
        assert list(kernel.map("work", [])) == []


def test_what_one_raises_comes_up_in_its_turn_and_the_rest_is_cancelled() -> None:
    with sutazai.Kernel() as kernel:
        # One that is let go of answers by that, at a time of its own.
        kept: list[sutazai.Reply] = []

        @kernel.agent(reply=True)
        def work(task: sutazai.Task, reply: sutazai.Reply) -> None:
            if task.input == 1:
                reply.fail(sutazai.AgentError("no"))
            elif task.input == 0:
                reply.send(0)
            else:
                kept.append(reply)

        answers = kernel.map("work", range(5))
        assert next(answers) == 0
        with pytest.raises(sutazai.AgentError):
            next(answers)
        assert kernel.calls() == []


def test_it_is_awaited() -> None:
    async def main() -> list[int]:
        with sutazai.Kernel() as kernel:

            @kernel.agent
            async def double(number: int) -> int:
                await asyncio.sleep(0)
                return 2 * number

            answers = [a async for a in kernel.amap("double", range(10), side_by_side=4)]
            await kernel.astop()
            return answers

    assert asyncio.run(main()) == [2 * n for n in range(10)]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "3"])
def test_side_by_side_is_checked(wrong: object) -> None:
    with sutazai.Kernel() as kernel, pytest.raises((TypeError, ValueError), match="side_by_side"):
        next(kernel.map("x", [1], side_by_side=wrong))  # type: ignore[arg-type]


def test_a_map_waits_for_agents_that_are_at_their_concurrency() -> None:
    with sutazai.Kernel() as kernel:

        @kernel.agent(concurrency=2)
        def slow(number: int) -> int:
            time.sleep(0.002)
            return number

        assert list(kernel.map("slow", range(40))) == list(range(40))

        async def awaited() -> list[int]:
            return [answer async for answer in kernel.amap("slow", range(40))]

        assert asyncio.run(awaited()) == list(range(40))
        held = threading.Event()

        @kernel.agent(concurrency=1)
        def held_up(_: object) -> None:
            held.wait(60)

        before = kernel.submit("held_up", 1)
        with pytest.raises(sutazai.Overloaded):
            list(kernel.map("held_up", [1], timeout=0.05))
        held.set()
        before.wait()
