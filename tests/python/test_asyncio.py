"""asyncio: awaiting tickets, coroutine agents, cancellation, closed loops, threads counted."""

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import sutazai
from sutazai import Context, Kernel, Reply, Task, Ticket
from sutazai._loop import bridge_of


def test_tickets_and_calls_are_awaited(kernel: Kernel) -> None:
    @kernel.agent
    def double(number: int) -> int:
        return 2 * number

    async def main() -> None:
        assert await kernel.acall("double", 21) == 42
        assert await kernel.submit("double", 1) == 2
        ticket = kernel.submit("double", 2)
        assert [await ticket, await ticket] == [4, 4]
        answer = await kernel.ainvoke("event.matches", pattern="a.*", subject="a.b")
        assert answer == {"matches": True}
        with pytest.raises(sutazai.NoSkill):
            await kernel.acall("nothing")
        with pytest.raises(sutazai.OperationUnknown):
            await kernel.ainvoke("nothing.at_all")

    asyncio.run(main())


def test_a_stop_is_awaited() -> None:
    async def main() -> None:
        kernel = Kernel().start()

        @kernel.agent(loop=asyncio.get_running_loop())
        async def slow(_: object) -> str:
            await asyncio.sleep(0.01)
            return "done"

        ticket = kernel.submit("slow")
        # The loop goes on, so that what it has under way comes to its end.
        await kernel.astop(30)
        assert (await ticket, kernel.phase) == ("done", "stopped")
        wrong: Any = "soon"
        with pytest.raises(TypeError, match="grace must be a number of seconds"):
            await kernel.astop(wrong)

    asyncio.run(main())


def test_a_thousand_tickets_need_no_thread_each(kernel: Kernel) -> None:
    replies: list[Reply] = []

    @kernel.agent(reply=True, inline=True)
    def keep(task: Task, reply: Reply) -> None:
        replies.append(reply)

    def answer_all() -> None:
        for number, reply in enumerate(replies):
            reply.send(number)

    async def main() -> None:
        before = threading.active_count(), kernel.status()["threads"]["threads"]
        tasks = [asyncio.create_task(kernel.acall("keep", n)) for n in range(1000)]
        while len(replies) < 1000:
            await asyncio.sleep(0)
        assert (threading.active_count(), kernel.status()["threads"]["threads"]) == before
        # Answered from one other thread, all at once.
        await asyncio.to_thread(answer_all)
        assert await asyncio.gather(*tasks) == list(range(1000))

    asyncio.run(main())


def test_a_thousand_coroutines_run_on_one_loop(kernel: Kernel) -> None:
    threads: set[int] = set()

    @kernel.agent
    async def nap(number: int) -> int:
        threads.add(threading.get_ident())
        await asyncio.sleep(0.01)
        return number

    async def main() -> None:
        before = threading.active_count()
        assert await asyncio.gather(*(kernel.acall("nap", n) for n in range(1000))) == list(
            range(1000)
        )
        assert threading.active_count() == before

    kernel.call("nap", 0)
    asyncio.run(main())
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_one_wake_up_of_the_loop_serves_many_tickets(kernel: Kernel) -> None:
    replies: list[Reply] = []

    @kernel.agent(reply=True, inline=True)
    def keep(task: Task, reply: Reply) -> None:
        replies.append(reply)

    def answer_all() -> None:
        for reply in replies:
            reply.send(1)

    async def main() -> int:
        loop = asyncio.get_running_loop()
        wakes = 0
        original = loop.call_soon_threadsafe

        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal wakes
            wakes += 1
            return original(*args, **kwargs)

        setattr(loop, "call_soon_threadsafe", counted)  # noqa: B010
        tickets = [kernel.submit("keep") for _ in range(100)]

        async def wait(ticket: Ticket) -> object:
            return await ticket

        tasks = [asyncio.create_task(wait(ticket)) for ticket in tickets]
        await asyncio.sleep(0)
        # The loop cannot run meanwhile, so one pending wake-up has to do for all.
        thread = threading.Thread(target=answer_all)
        thread.start()
        thread.join()
        await asyncio.gather(*tasks)
        return wakes

    assert asyncio.run(main()) == 1


def test_a_cancelled_task_cancels_its_call_and_the_agents_task(kernel: Kernel) -> None:
    ended: list[BaseException] = []
    started, over = threading.Event(), threading.Event()

    @kernel.agent
    async def forever(_: object) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            ended.append(error)
            raise
        finally:
            over.set()

    async def main() -> None:
        task = asyncio.create_task(kernel.acall("forever"))
        await asyncio.to_thread(started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(over.wait)

    asyncio.run(main())
    assert [type(error) for error in ended] == [asyncio.CancelledError]
    assert kernel.calls() == []


def test_a_cancelled_call_is_not_a_cancelled_task(kernel: Kernel) -> None:
    @kernel.agent(reply=True, inline=True)
    def keep(task: Task, reply: Reply) -> None:
        replies.append(reply)

    replies: list[Reply] = []

    async def main() -> None:
        ticket = kernel.submit("keep")
        ticket.cancel()
        with pytest.raises(sutazai.CallCancelled):
            await ticket
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await kernel.acall("keep")
        assert replies[-1].cancelled

    asyncio.run(main())


def test_an_agent_that_cancels_itself_fails(kernel: Kernel) -> None:
    @kernel.agent
    async def gives_up(_: object) -> None:
        raise asyncio.CancelledError

    with pytest.raises(sutazai.SutazaiError) as caught:
        kernel.call("gives_up")
    assert caught.value.name == "agent.failed"


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_exits_in_a_coroutine_leave_the_loop_alive(kernel: Kernel, error: BaseException) -> None:
    @kernel.agent
    async def exits(leave: bool) -> str:
        if leave:
            raise error
        return "alive"

    with pytest.raises(sutazai.AgentError):
        kernel.call("exits", True)
    assert kernel.call("exits", False) == "alive"


def test_coroutines_run_on_the_hosts_loop(kernel: Kernel) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def where(_: object, context: Context) -> bool:
            context.progress("here")
            return asyncio.get_running_loop() is loop

        kernel.agent(loop=loop)(where)
        ticket = kernel.submit("where")
        assert [part async for part in ticket] == ["here"]
        assert await ticket is True

    asyncio.run(main())
    # That loop is closed now, and this thread may wait again.
    with pytest.raises(sutazai.NotRunning):
        kernel.call("where")


def test_blocking_on_the_loop_of_the_agents_is_refused(kernel: Kernel) -> None:
    @kernel.agent
    async def inner(_: object) -> str:
        await asyncio.sleep(0)
        return "inner"

    @kernel.agent
    async def blocks(_: object) -> Any:
        return kernel.call("inner")

    @kernel.agent
    async def awaits(_: object) -> Any:
        return await kernel.acall("inner")

    with pytest.raises(sutazai.WouldDeadlock):
        kernel.call("blocks")
    assert kernel.call("awaits") == "inner"


def test_what_waits_is_refused_where_a_loop_runs(kernel: Kernel) -> None:
    """`call` says what to do before the agent gets the task, even if it would answer at once."""
    called: list[str] = []

    @kernel.agent(inline=True)
    def at_once(text: str) -> str:
        called.append(text)
        return text

    @kernel.agent(reply=True, inline=True)
    def later(_: Task, reply: Reply) -> None:
        replies.append(reply)

    replies: list[Reply] = []

    def advice(do: Callable[[], object]) -> str:
        with pytest.raises(sutazai.WouldDeadlock) as caught:
            do()
        assert caught.value.advice is not None
        return caught.value.advice

    async def main() -> None:
        assert "kernel.acall(" in advice(lambda: kernel.call("at_once", "no"))
        assert "kernel.ainvoke(" in advice(lambda: kernel.invoke("kernel.status"))
        assert "room" not in advice(lambda: kernel.publish("a", wait=1))
        ticket = kernel.submit("later")
        assert "await the ticket" in advice(ticket.wait)
        events = kernel.subscribe("b")
        assert "async for" in advice(events.next)
        assert called == []
        # What need not wait is not refused, and a thread may wait for us.
        assert events.next(timeout=0) is None
        replies[0].send("answer")
        assert await ticket == ticket.wait() == "answer"
        assert await kernel.acall("at_once", "one") == "one"
        assert await asyncio.to_thread(kernel.call, "at_once", "two") == "two"

    asyncio.run(main())
    assert kernel.call("at_once", "three") == "three", "the loop has ended"
    assert called == ["one", "two", "three"]


def test_parts_are_iterated_while_they_come(kernel: Kernel) -> None:
    go: asyncio.Event | None = None

    async def main() -> None:
        nonlocal go
        go = asyncio.Event()

        @kernel.agent(loop=asyncio.get_running_loop())
        async def count(to: int, context: Context) -> str:
            assert go is not None
            for number in range(to):
                context.progress(number)
                await go.wait()
                go.clear()
            return "done"

        ticket = kernel.submit("count", 3)
        seen = []
        async for part in ticket:
            seen.append(part)
            go.set()
        assert seen == [0, 1, 2] and await ticket == "done"

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, 3])
def test_a_part_between_the_look_and_the_wait_is_delivered(kernel: Kernel, count: int) -> None:
    replies: list[Reply] = []

    @kernel.agent(reply=True, inline=True)
    def keep(task: Task, reply: Reply) -> None:
        replies.append(reply)

    def send(first: int) -> None:
        for number in range(first, first + count):
            replies[0].progress(number)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ticket = kernel.submit("keep")
        assert ticket._poll_part() is None
        await asyncio.to_thread(send, 0)
        woken: asyncio.Future[None] = loop.create_future()
        ticket._wake(bridge_of(loop), woken)
        await woken
        # The call goes on, and what waiting found comes first.
        for number in range(count):
            assert await anext(ticket) == number
        assert ticket._poll_part() is None and not ticket.done()
        # The same with the answer on its heels.
        await asyncio.to_thread(send, count)
        woken = loop.create_future()
        ticket._wake(bridge_of(loop), woken)
        replies[0].send("done")
        await woken
        assert [part async for part in ticket] == list(range(count, 2 * count))
        assert await ticket == "done"

    asyncio.run(main())


class Rude(asyncio.SelectorEventLoop):
    """A loop whose `call_soon_threadsafe` raises what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[BaseException] = []

    def call_soon_threadsafe(  # type: ignore[override]
        self, *args: Any, **kwargs: Any
    ) -> asyncio.Handle:
        if self.errors:
            raise self.errors.pop()
        return super().call_soon_threadsafe(*args, **kwargs)


@pytest.fixture
def rude(kernel: Kernel) -> Iterator[Rude]:
    loop = Rude()

    @kernel.agent(loop=loop)
    async def double(number: int) -> int:
        return 2 * number

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.errors.clear()
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)
    loop.close()


def test_ctrl_c_on_the_way_to_a_loop_does_not_end_its_bridge(kernel: Kernel, rude: Rude) -> None:
    tickets = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # anywhere from the second line on
        rude.errors.append(KeyboardInterrupt())
        tickets.append(kernel.submit("double", 1))
        # Not lost: it comes up here, in the thread that it was meant for.
        for _ in range(1000):
            threading.get_ident()
    assert not rude.errors
    assert [ticket.wait(60) for ticket in tickets] in ([], [2])
    assert kernel.call("double", 21, timeout=60) == 42


def test_a_loop_that_fails_for_a_while_is_asked_again(kernel: Kernel, rude: Rude) -> None:
    rude.errors.append(OSError("no descriptors"))
    assert kernel.call("double", 1, timeout=60) == 2


def test_a_loop_that_keeps_failing_keeps_what_waits(
    kernel: Kernel, rude: Rude, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[object] = []
    told = threading.Event()

    def hook(unraisable: Any) -> None:
        shown.append(unraisable.exc_type)
        told.set()

    monkeypatch.setattr(sys, "unraisablehook", hook)
    rude.errors.extend(MemoryError() for _ in range(8))
    first = kernel.submit("double", 1)
    assert told.wait(60) and not rude.errors
    # The next item takes it along.
    assert kernel.call("double", 2, timeout=60) == 4
    assert first.wait(60) == 2 and shown == [MemoryError]


def test_a_closed_loop_with_calls_in_flight_is_clean(kernel: Kernel) -> None:
    replies: list[Reply] = []

    @kernel.agent(reply=True, inline=True)
    def keep(task: Task, reply: Reply) -> None:
        replies.append(reply)

    loop = asyncio.new_event_loop()
    tickets: list[Ticket] = []

    async def wait(ticket: Ticket) -> object:
        return await ticket

    async def main() -> None:
        for _ in range(10):
            tickets.append(kernel.submit("keep"))
            pending.append(loop.create_task(wait(tickets[-1])))
        await asyncio.sleep(0)

    pending: list[asyncio.Task[object]] = []
    loop.run_until_complete(main())
    loop.close()
    for reply in replies:
        reply.send("nobody waits")
    assert [ticket.result() for ticket in tickets] == ["nobody waits"] * 10
    for task in pending:
        # asyncio would say that it was destroyed; that is the loop owner's affair.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    pending.clear()
    gc.collect()


def test_stopping_cancels_the_coroutines() -> None:
    ended = threading.Event()
    started = threading.Event()

    async def forever(_: object) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with Kernel() as kernel:
        kernel.agent(forever)
        ticket = kernel.submit("forever")
        started.wait()
        kernel.stop(0.0)
        with pytest.raises(sutazai.CallCancelled):
            ticket.wait()
    assert ended.wait(30)


def test_a_kernel_is_an_asynchronous_context_manager() -> None:
    async def main() -> None:
        async with Kernel() as kernel:
            kernel.add_echo_agent()
            assert await kernel.acall("echo", 1) == 1

    asyncio.run(main())


def test_events_are_iterated(kernel: Kernel) -> None:
    async def main() -> None:
        async def collect() -> list[Any]:
            return [event.payload async for event in subscription]

        subscription = kernel.subscribe("a.>")
        task = asyncio.create_task(collect())
        for number in range(5):
            kernel.publish("a.b", number)
            await asyncio.sleep(0)
        await asyncio.to_thread(kernel.publish, "a.c", 5)
        await asyncio.to_thread(kernel.stop)
        assert await task == [0, 1, 2, 3, 4, 5]

    asyncio.run(main())


def test_wrong_ways_to_declare_a_coroutine(kernel: Kernel) -> None:
    async def agent(_: object) -> None: ...

    with pytest.raises(TypeError):
        kernel.agent(inline=True)(agent)
    with pytest.raises(TypeError):
        kernel.agent(reply=True)(agent)
    with pytest.raises(TypeError):
        kernel.subscribe("a", agent)
