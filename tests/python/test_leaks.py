"""What is let go of is collected: kernels, agents, tickets, whatever refers to one another."""

import asyncio
import gc
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from sutazai import ActionContext, Context, Event, Kernel, Reply, SafeContext, Task


class Canary:
    """Something that an agent holds on to."""


def use(kernel: Kernel, canary: Canary) -> None:
    @kernel.agent
    def plain(x: object) -> object:
        return canary and kernel and x

    @kernel.agent
    def context(x: object, context: Context) -> object:
        context.progress(1)
        return canary and kernel and x

    @kernel.agent
    async def coroutine(x: object) -> object:
        await asyncio.sleep(0)
        return canary and kernel and x

    @kernel.agent(reply=True)
    def replies(task: Task, reply: Reply) -> None:
        reply.on_cancel(lambda: print(canary))
        if canary and kernel:
            reply.send(1)

    @kernel.agent
    def fails(x: object) -> object:
        local = canary
        raise ValueError(str(local))

    @kernel.component("part")
    def part() -> Iterator[None]:
        assert canary
        yield

    def on_event(event: Event) -> None:
        print(canary, kernel)

    @kernel.playbooks.action("act", dry_run=lambda context: canary)
    def act(context: ActionContext) -> object:
        return canary and kernel and context

    @kernel.failsafe.stage("stage")
    def stage(context: SafeContext) -> object:
        return canary and kernel and context

    kernel.subscribe("nothing", on_event)
    kernel.provide("canary", lambda: canary)


def exercise(kernel: Kernel) -> None:
    for skill in ("plain", "context", "coroutine", "replies"):
        kernel.call(skill, 1)
        ticket = kernel.submit(skill, 1)
        ticket.on_done(lambda ticket: None)
        ticket.wait()
    with pytest.raises(Exception, match="Canary"):
        kernel.call("fails")
    kernel.get("canary")

    async def main() -> None:
        await asyncio.gather(*(kernel.acall("coroutine", n) for n in range(10)))

    asyncio.run(main())


def collected(made: Callable[[], list[object]]) -> bool:
    watched = [weakref.ref(thing) for thing in made()]
    # A worker may still be on its way out of the agent; a leak stays for ever.
    end = time.monotonic() + 30
    while any(ref() is not None for ref in watched) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.001)
    return all(ref() is None for ref in watched)


def test_a_stopped_kernel_and_its_agents_are_collected() -> None:
    def made() -> list[object]:
        kernel, canary = Kernel(), Canary()
        use(kernel, canary)
        with kernel:
            exercise(kernel)
        return [kernel, canary]

    assert collected(made)


def test_replies_that_are_kept_do_not_keep_a_stopped_kernel() -> None:
    kept: list[tuple[Task, Reply]] = []

    def made() -> list[object]:
        kernel, canary = Kernel(), Canary()

        @kernel.agent(reply=True)
        def keep(task: Task, reply: Reply) -> None:
            assert canary and kernel
            kept.append((task, reply))
            if task.input == "answered":
                reply.send(1)

        kernel.start()
        kernel.call("keep", "answered")
        kernel.submit("keep", "open").detach()
        while len(kept) < 2:
            time.sleep(0)
        kernel.stop(0.1)
        return [kernel, canary]

    assert collected(made)
    assert len(kept) == 2 and all(reply.cancelled for _, reply in kept)


def test_a_kernel_that_never_started_lets_go_too() -> None:
    def made() -> list[object]:
        kernel, canary = Kernel(), Canary()
        use(kernel, canary)
        kernel.stop()
        return [kernel, canary]

    assert collected(made)


def test_a_removed_agent_is_collected() -> None:
    with Kernel() as kernel:

        def made() -> list[object]:
            canary = Canary()
            kernel.agent(name="brief")(lambda x: canary and x)
            kernel.call("brief", 1)
            kernel.remove_agent("brief")
            return [canary]

        assert collected(made)


def test_inputs_answers_and_tickets_are_let_go_of() -> None:
    with Kernel() as kernel:
        kernel.add_echo_agent()

        def made() -> list[object]:
            ticket = kernel.submit("echo", {"a": [1]})
            seen: list[object] = []
            ticket.on_done(seen.append)
            return [ticket]

        assert collected(made)


def test_calls_do_not_leave_objects_behind() -> None:
    with Kernel() as kernel:
        kernel.add_echo_agent()
        kernel.agent(name="python")(lambda x: x)

        def batch() -> None:
            for _ in range(200):
                kernel.call("echo", {"a": [1, "x"]})
                kernel.call("python", {"a": [1, "x"]})
                kernel.publish("a.b", {"a": 1})

        batch()
        gc.collect()
        before = len(gc.get_objects())
        batch()
        gc.collect()
        assert len(gc.get_objects()) - before < 50
