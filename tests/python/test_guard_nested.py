"""Guards within guards: whose deadline is in force, and that retries do not multiply."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
import sutazai

FAST: sutazai.RetryPolicy = {"attempts": 3, "base_ms": 0, "max_ms": 0}


def test_an_inner_guard_leaves_the_outer_ones_deadline_and_none_behind() -> None:
    @sutazai.guard(timeout=0.2)
    async def inner() -> None:
        await asyncio.sleep(0.01)

    @sutazai.guard(timeout=60)
    async def outer() -> float | None:
        await inner()
        return sutazai.time_left()

    async def main() -> None:
        left = await outer()
        assert left is not None and 50 < left <= 60
        assert sutazai.time_left() is None

    asyncio.run(main())


def test_a_block_in_a_guarded_coroutine_leaves_nothing_behind() -> None:
    @sutazai.guard(timeout=5)
    async def f() -> None:
        with sutazai.within(priority=9, timeout=50):
            await asyncio.sleep(0.01)

    async def main() -> None:
        await f()
        assert (sutazai.time_left(), sutazai.priority()) == (None, 128)

    asyncio.run(main())


def test_a_task_that_a_try_begins_has_its_deadline() -> None:
    async def child() -> float | None:
        return sutazai.time_left()

    @sutazai.guard(timeout=5)
    async def f() -> float | None:
        return await asyncio.create_task(child())

    left = asyncio.run(f())
    assert left is not None and left <= 5


def raises_again(error: Exception) -> None:
    raise error


def raises_from(error: Exception) -> None:
    raise ConnectionError("wrapped") from error


def raises_in_handler(error: Exception) -> None:
    raise ConnectionError("wrapped")


def raises_from_none(error: Exception) -> None:
    raise ConnectionError("wrapped") from None


def raises_group(error: Exception) -> None:
    raise ExceptionGroup("several", [error])


@pytest.mark.parametrize(
    "how", [raises_again, raises_from, raises_in_handler, raises_from_none, raises_group]
)
@pytest.mark.parametrize("coroutine", [False, True])
def test_layers_do_not_multiply_however_it_is_raised(
    how: Callable[[Exception], None], coroutine: bool
) -> None:
    made = 0
    def work() -> None:
        nonlocal made
        made += 1
        raise ConnectionResetError

    inner = sutazai.guard(retry=FAST, budget={"capacity": 100})(work)

    @sutazai.guard(retry=FAST, budget={"capacity": 100})
    def outer() -> None:
        try:
            inner()
        except ConnectionResetError as error:
            how(error)

    @sutazai.guard(retry=FAST, budget={"capacity": 100})
    async def ainner() -> None:
        work()

    @sutazai.guard(retry=FAST, budget={"capacity": 100})
    async def aouter() -> None:
        try:
            await ainner()
        except ConnectionResetError as error:
            how(error)

    with pytest.raises((ConnectionError, ExceptionGroup)):
        if coroutine:
            asyncio.run(aouter())
        else:
            outer()
    assert made == 3


def test_an_exception_that_is_raised_again_later_is_tried_again() -> None:
    always = ConnectionResetError("one for all")
    made = 0

    @sutazai.guard(retry=FAST, budget={"capacity": 100})
    def call() -> None:
        nonlocal made
        made += 1
        raise always

    for calls in (1, 2, 3):
        with pytest.raises(ConnectionResetError):
            call()
        assert made == 3 * calls


def test_a_guarded_coroutine_function_is_one() -> None:
    import inspect

    @sutazai.guard(retry=FAST)
    async def f(x: int) -> int:
        return x + 1

    assert inspect.iscoroutinefunction(f) and asyncio.iscoroutinefunction(f)
    with sutazai.Kernel() as kernel:
        kernel.agent(f)
        assert kernel.call("f", 1) == 2


def test_objects_and_partials_that_give_coroutines_are_guarded_as_such() -> None:
    import functools

    class Client:
        made = 0

        async def __call__(self, fails: int) -> int:
            self.made += 1
            if self.made <= fails:
                raise ConnectionResetError
            return self.made

    assert asyncio.run(sutazai.guard(retry=FAST)(Client())(2)) == 3
    partial = functools.partial(Client(), 1)
    assert asyncio.run(sutazai.Guard(retry=FAST).arun(partial)) == 2


def test_a_plain_function_that_gives_a_coroutine_says_what_to_do() -> None:
    async def f() -> None: ...

    guard = sutazai.Guard(retry=FAST)
    with pytest.raises(TypeError, match="arun"):
        _ = guard.run(f)
    with pytest.raises(TypeError, match="arun"):
        _ = guard(lambda: f())()


def test_hedged_tries_keep_their_places_until_they_end() -> None:
    running = most = 0

    @sutazai.guard(hedge={"min_ms": 1, "budget": 1.0}, bulkhead={"concurrency": 2, "queue": 50})
    async def slow(n: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(0.002 if n % 2 else 0.02)
            return n
        finally:
            try:
                await asyncio.sleep(0.005)  # takes its time to end, also when it is cancelled
            finally:
                running -= 1

    async def main() -> None:
        assert await asyncio.gather(*(slow(n) for n in range(20))) == list(range(20))
        while running:
            await asyncio.sleep(0.001)

    asyncio.run(main())
    assert most <= 2


@pytest.mark.parametrize(
    "options", [{}, {"retry": True, "budget": False}, {"timeout": True}, {"retry": 3}]
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        sutazai.guard(**options)(print)


@pytest.mark.parametrize("what", [None, 5, staticmethod(print), classmethod(print)])
def test_what_is_no_function_is_refused(what: Any) -> None:
    with pytest.raises(TypeError, match="a guard goes around a function"):
        sutazai.guard(retry=True)(what)


def test_why_nothing_was_tried_again_is_said() -> None:
    guard = sutazai.Guard("g", retry=FAST, budget={"capacity": 1, "cost": 2, "per_second": 0})
    guard.run(int)

    def fails() -> None:
        raise ConnectionResetError

    notes = []
    for _ in range(2):
        with pytest.raises(ConnectionResetError) as raised:
            guard.run(fails)
        notes.append(getattr(raised.value, "__notes__", []))
    assert any("(budget)" in note for each in notes for note in each), notes


def test_a_rejection_names_its_guard() -> None:
    guard = sutazai.Guard("weather", breaker=True)
    guard.force("open")
    with pytest.raises(sutazai.BreakerOpen) as raised:
        guard.run(print)
    assert raised.value.context["guard"] == "weather"


def test_a_forked_child_has_the_guards_of_the_program() -> None:
    guard = sutazai.Guard(
        "g", retry=FAST, breaker={"consecutive": 9}, share={"breaker": "forked"}, on=OSError
    )
    guard.policy = {**guard.policy, "timeout_ms": 5_000}
    made = 0

    def call() -> int:
        nonlocal made
        made += 1
        if made < 3:
            raise ConnectionResetError
        return made

    async def acall() -> int:
        return call()

    child = os.fork()
    if child == 0:
        try:
            right = guard.run(call) == 3 and guard.policy["timeout_ms"] == 5_000
            made = 0
            os._exit(0 if right and asyncio.run(guard.arun(acall)) == 3 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with sutazai.Kernel() as kernel:
        owned = sutazai.Guard("k", retry=FAST, kernel=kernel)
        child = os.fork()
        if child == 0:
            try:
                owned.run(call)
            except sutazai.Forked:
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
