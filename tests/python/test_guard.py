"""Guards around functions and coroutine functions. Time is virtual where it passes."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sutazai

FAST: sutazai.RetryPolicy = {"base_ms": 0, "max_ms": 0}


@pytest.fixture
def virtual() -> Iterator[sutazai.Kernel]:
    with sutazai.Kernel(clock="virtual") as kernel:
        yield kernel


def test_a_function_keeps_its_face() -> None:
    @sutazai.guard(retry=True)
    def add(a: int, b: int = 2) -> int:
        """Adds."""
        return a + b

    assert add(1) == 3
    assert add(1, b=5) == 6
    assert (add.__name__, add.__doc__) == ("add", "Adds.")
    assert list(inspect.signature(add).parameters) == ["a", "b"]
    assert add.guard.name.endswith("add")  # type: ignore[attr-defined]


def test_a_method_is_guarded_as_a_method() -> None:
    class Client:
        def __init__(self) -> None:
            self.tries = 0

        @sutazai.guard(retry=FAST)
        def fetch(self) -> int:
            self.tries += 1
            if self.tries < 3:
                raise ConnectionError("lost")
            return self.tries

    assert Client().fetch() == 3


def test_the_exception_that_was_raised_is_what_comes_out() -> None:
    guard = sutazai.Guard(retry={"attempts": 3, **FAST})
    tries = []

    def fails() -> None:
        tries.append(1)
        raise ConnectionResetError("by peer")

    with pytest.raises(ConnectionResetError) as caught:
        guard.run(fails)
    assert len(tries) == 3
    assert caught.value.__notes__ == ["sutazai: given up after 3 tries (attempts)"]
    assert guard.status()["retries"] == 2


def test_on_says_what_is_worth_another_try() -> None:
    tries: list[type[Exception]] = []

    def raises(kind: type[Exception]) -> None:
        tries.append(kind)
        raise kind("no")

    guard = sutazai.Guard(retry={"attempts": 2, **FAST}, on=(KeyError, OSError))
    for kind, made in [(KeyError, 2), (FileNotFoundError, 2), (ValueError, 1)]:
        tries.clear()
        with pytest.raises(kind):
            guard.run(raises, kind)
        assert len(tries) == made
    with pytest.raises(TypeError):
        sutazai.Guard(retry=True, on=3)  # type: ignore[arg-type]


def test_interrupts_are_never_tried_again_and_say_nothing_of_the_target() -> None:
    guard = sutazai.Guard(retry=FAST, breaker={"consecutive": 1})
    tries = []

    def interrupted() -> None:
        tries.append(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guard.run(interrupted)
    assert len(tries) == 1
    assert guard.status()["breaker"]["state"] == "closed"


def test_waits_are_those_of_the_backoff(virtual: sutazai.Kernel) -> None:
    guard = sutazai.Guard(
        retry={"attempts": 4, "base_ms": 100, "jitter": "none"}, on=OSError, kernel=virtual
    )
    tries = []

    def fails() -> None:
        tries.append(1)
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        guard.run(fails)
    assert len(tries) == 4


def test_an_open_breaker_rejects_and_can_be_forced(virtual: sutazai.Kernel) -> None:
    guard = sutazai.Guard("billing", breaker={"consecutive": 2}, kernel=virtual)

    def fails() -> None:
        raise ConnectionError

    for _ in range(2):
        with pytest.raises(ConnectionError):
            guard.run(fails)
    with pytest.raises(sutazai.SutazaiError) as caught:
        guard.run(fails)
    assert caught.value.name == "recovery.breaker_open"
    assert caught.value.class_ == "transient"
    guard.force("closed")
    assert guard.run(lambda: 7) == 7
    guard.force("open")
    with pytest.raises(sutazai.SutazaiError):
        guard.run(lambda: 7)
    with pytest.raises(ValueError, match="ajar"):
        guard.force("ajar")  # type: ignore[arg-type]


def test_a_policy_is_changed_while_it_is_in_force() -> None:
    guard = sutazai.Guard(retry={"attempts": 2, **FAST}, on=OSError)
    assert guard.policy["retry"]["attempts"] == 2
    guard.policy = {"retry": {"attempts": 5, **FAST}}
    tries = []

    def fails() -> None:
        tries.append(1)
        raise OSError

    with pytest.raises(OSError):
        guard.run(fails)
    assert len(tries) == 5
    with pytest.raises(sutazai.Invalid, match="attempts"):
        guard.policy = {"retry": {"attempts": 0}}
    with pytest.raises(ValueError, match="atempts"):
        guard.policy = {"retry": {"atempts": 1}}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"retry": 3}, TypeError),
        ({"timeout": "1s"}, TypeError),
        ({"timeout": 0}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"breaker": {"failure_rate": 2}}, sutazai.Invalid),
        ({"breaker": {"failure_rat": 0.2}}, ValueError),
    ],
)
def test_what_is_no_policy_says_what_is_wrong(options: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        sutazai.Guard(**options)


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"breaker": {"failure_rate": float("nan")}}, ValueError, '["failure_rate"]: nan is not'),
        ({"budget": {"capacity": float("inf")}}, ValueError, '["capacity"]: inf is not a JSON'),
        ({"budget": {"capacity": 0}}, sutazai.Invalid, "above 0 and up to 1000000,"),
        ({"hedge": {"quantile": 1.0}}, sutazai.Invalid, "above 0 and below 1"),
        ({"share": True}, TypeError, "share must be a mapping of parts to names, not bool"),
        ({"kernel": 5}, TypeError, "kernel must be a Kernel, not int"),
    ],
)
def test_what_is_no_policy_says_what_it_is_not(
    options: Any, kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind) as raised:
        sutazai.Guard(**options)
    assert says.lower() in str(raised.value).lower()


def test_a_mistake_in_a_policy_is_named_by_its_path() -> None:
    options: dict[str, Any] = {
        "retry": {"atempts": 1, "jitter": "ful"},
        "breaker": {"open_ms": "5s"},
    }
    with pytest.raises(sutazai.Invalid) as raised:
        sutazai.Guard(**options)
    fields = {one.context["field"]: one.advice for one in raised.value.problems}
    assert fields == {
        "breaker.open_ms": None,
        "retry.atempts": 'did you mean "attempts"?',
        "retry.jitter": 'did you mean "full"?',
    }
    assert '"breaker.open_ms" must be an integer, not "5s"' in str(raised.value)
    guard = sutazai.Guard(retry=True)
    wrong: list[tuple[Any, str]] = [
        ({"retry": [4]}, '"retry" must be an object, not an array'),
        ([], "the policy must be an object, not an array"),
        ({"timeout_ms": -1}, '"timeout_ms" is out of range'),
    ]
    for policy, said in wrong:
        with pytest.raises(sutazai.Invalid) as refused:
            guard.policy = policy
        assert refused.value.message == said
    assert "retry" in guard.policy


def test_a_bulkhead_bounds_threads_and_gives_places_in_turn() -> None:
    guard = sutazai.Guard(bulkhead={"concurrency": 2, "queue": 20}, timeout=30)
    running, most = 0, 0
    lock = threading.Lock()
    gate = threading.Event()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(10)
        with lock:
            running -= 1

    threads = [threading.Thread(target=guard.run, args=(work,)) for _ in range(10)]
    for thread in threads:
        thread.start()
    while guard.status()["bulkhead"]["waiting"] < 8:
        gate.wait(0.001)
    gate.set()
    for thread in threads:
        thread.join(20)
    assert most == 2
    assert guard.status()["bulkhead"]["running"] == 0


def test_parts_are_shared_by_name() -> None:
    options: dict[str, Any] = {
        "retry": {"attempts": 9, **FAST},
        "budget": {"capacity": 3, "per_second": 0},
        "share": {"budget": "test_parts_are_shared_by_name"},
        "on": OSError,
    }
    tries = []

    def fails() -> None:
        tries.append(1)
        raise OSError

    for name in ["a", "b"]:
        with pytest.raises(OSError):
            sutazai.Guard(name, **options).run(fails)
    assert len(tries) == 2 + 3


def test_a_coroutine_function_is_guarded_as_one() -> None:
    tries = []

    @sutazai.guard(retry=FAST, on=OSError)
    async def fetch(word: str) -> str:
        tries.append(word)
        await asyncio.sleep(0)
        if len(tries) < 3:
            raise OSError("again")
        return word

    assert asyncio.run(fetch("x")) == "x"
    assert len(tries) == 3


def test_what_is_awaited_ends_at_its_timeout_and_is_cancelled() -> None:
    cancelled = []

    async def hangs() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    guard = sutazai.Guard(timeout=timedelta(milliseconds=30))
    with pytest.raises(sutazai.DeadlineExceeded):
        asyncio.run(guard.arun(hangs))
    assert cancelled == [1]


def test_each_try_has_its_own_timeout() -> None:
    tries = []

    async def slow_at_first() -> int:
        tries.append(1)
        if len(tries) == 1:
            await asyncio.sleep(60)
        return len(tries)

    guard = sutazai.Guard(attempt_timeout=0.03, retry=FAST)
    assert asyncio.run(guard.arun(slow_at_first)) == 2


def test_cancelling_the_task_cancels_the_call_and_gives_everything_back() -> None:
    guard = sutazai.Guard(
        bulkhead={"concurrency": 1, "queue": 5}, breaker={"consecutive": 1}, retry=True, timeout=60
    )

    async def seven() -> int:
        await asyncio.sleep(0)
        return 7

    async def main() -> None:
        began = asyncio.Event()

        async def hangs() -> None:
            began.set()
            await asyncio.sleep(60)

        holds = asyncio.create_task(guard.arun(hangs))
        await began.wait()
        waits = asyncio.create_task(guard.arun(hangs))
        while guard.status()["bulkhead"]["waiting"] == 0:
            await asyncio.sleep(0)
        for task in (waits, holds):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await guard.arun(seven) == 7

    asyncio.run(main())
    status = guard.status()
    assert status["bulkhead"]["running"] == 0
    assert status["breaker"]["state"] == "closed"
    assert status["retries"] == 0


def test_tasks_take_turns_in_a_bulkhead() -> None:
    guard = sutazai.Guard(bulkhead={"concurrency": 3, "queue": 100}, timeout=30)
    running, most = 0, 0

    async def work(n: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return n

    async def main() -> list[int]:
        return await asyncio.gather(*(guard.arun(work, n) for n in range(50)))

    assert asyncio.run(main()) == list(range(50))
    assert most == 3


def test_other_awaitables_than_coroutines_will_do() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()

        def later() -> asyncio.Future[int]:
            future = loop.create_future()
            loop.call_soon(future.set_result, 5)
            return future

        return await sutazai.Guard(timeout=5).arun(later)

    assert asyncio.run(main()) == 5


def test_a_timeout_of_the_functions_own_stays_its_own() -> None:
    async def own() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(sutazai.Guard(timeout=30).arun(own))
    assert not isinstance(caught.value, sutazai.DeadlineExceeded)


def test_a_manifest_guards_calls(tmp_path: Path) -> None:
    manifest = tmp_path / "sutazai.toml"
    manifest.write_text(
        "data_dir = ':memory:'\n[recovery.guards.all]\nretry = {attempts = 3, base = '10ms'}\n"
    )
    with sutazai.Kernel(manifest=manifest) as kernel:
        made = 0

        @kernel.agent
        def work(_: object) -> int:
            nonlocal made
            made += 1
            if made < 3:
                raise ConnectionError("not now")
            return made

        assert kernel.call("work", None) == 3


def test_a_manifest_tells_what_is_wrong_with_its_guards(tmp_path: Path) -> None:
    manifest = tmp_path / "sutazai.toml"
    manifest.write_text("[recovery.guards.all]\nretri = {}\n")
    with pytest.raises(sutazai.SutazaiError, match="did you mean \"retry\"") as raised:
        sutazai.Kernel(manifest=manifest)
    assert raised.value.location is not None
    assert raised.value.location.line == 2


def test_guards_within_guards_do_not_multiply_tries() -> None:
    made = 0

    @sutazai.guard(retry={"attempts": 3, **FAST}, budget={"capacity": 100})
    @sutazai.guard(retry={"attempts": 3, **FAST}, budget={"capacity": 100})
    def call() -> None:
        nonlocal made
        made += 1
        raise ConnectionResetError("down")

    with pytest.raises(ConnectionResetError):
        call()
    assert made == 3

    @sutazai.guard(retry={"attempts": 3, **FAST}, budget={"capacity": 100})
    @sutazai.guard(retry={"attempts": 3, **FAST}, budget={"capacity": 100})
    async def acall() -> None:
        nonlocal made
        made += 1
        raise ConnectionResetError("down")

    made = 0
    with pytest.raises(ConnectionResetError):
        asyncio.run(acall())
    assert made == 3


def test_an_agent_that_gave_up_is_not_tried_again(virtual: sutazai.Kernel) -> None:
    made = 0

    @virtual.agent
    @sutazai.guard(kernel=virtual, retry={"attempts": 3, **FAST}, budget={"capacity": 100})
    def work(_: object) -> None:
        nonlocal made
        made += 1
        raise ConnectionResetError("down")

    policy = {"retry": {"attempts": 3, "base_ms": 1}, "budget": {"capacity": 100}}
    virtual.invoke("recovery.guard_set", calls="all", policy=policy)
    ticket = virtual.begin("agent.call", skill="work", input=None)
    virtual.advance(10)
    with pytest.raises(sutazai.SutazaiError, match="down"):
        ticket.result()
    assert made == 3


def pauses(guard: sutazai.Guard) -> list[float | None]:
    drawn = []
    for _ in range(4):
        steps = guard._native.begin()
        drawn.append(guard._native.raised(steps, ConnectionResetError()))
        steps.close()
    return drawn


def test_no_two_guards_pause_alike() -> None:
    def make() -> sutazai.Guard:
        return sutazai.Guard("g", retry={"jitter": "full", "base_ms": 1000}, budget={"capacity": 100})

    assert pauses(make()) != pauses(make())


def test_a_call_that_blocks_is_not_hedged_and_that_is_said() -> None:
    guard = sutazai.Guard("h", hedge={"min_ms": 1})
    with pytest.raises(sutazai.Unsupported, match="not hedged"):
        guard.run(print)
    with pytest.raises(TypeError, match="not hedged"):
        guard(print)


@pytest.mark.parametrize("kind", ["class", "generator", "async generator"])
def test_what_works_after_its_call_is_not_guarded(kind: str) -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    what: Any = {"class": dict, "generator": generator, "async generator": async_generator}[kind]
    with pytest.raises(TypeError, match=f"not an? {kind}"):
        sutazai.guard(retry=True)(what)


def test_without_parentheses_the_decorator_says_so() -> None:
    with pytest.raises(TypeError, match="say what to guard with"):
        sutazai.guard(print)  # type: ignore[arg-type]


def test_the_rules_of_a_kernel_count_for_its_guards(virtual: sutazai.Kernel) -> None:
    rules = [{"name": "mine", "class": "transient", "exception": "KeyError"}]
    virtual.invoke("recovery.classify_set_policy", policy={"rules": rules})
    made = 0

    @sutazai.guard(kernel=virtual, retry={"attempts": 3, **FAST})
    def call() -> None:
        nonlocal made
        made += 1
        raise KeyError("x")

    with pytest.raises(KeyError):
        call()
    assert made == 3


def test_what_a_guarded_function_raises_is_told_as_its_own(virtual: sutazai.Kernel) -> None:
    rules = [{"name": "mine", "class": "transient", "text": "the guarded function raised"}]
    virtual.invoke("recovery.classify_set_policy", policy={"rules": rules})
    made = 0

    @sutazai.guard(kernel=virtual, retry={"attempts": 2, **FAST})
    def call() -> None:
        nonlocal made
        made += 1
        raise LookupError("x")

    with pytest.raises(LookupError):
        call()
    assert made == 2
