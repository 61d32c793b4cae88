"""Calling agents: blocking, by ticket, with deadlines, cancelled."""

import threading
from pathlib import Path
from typing import Any

import pytest

import sutazai
from sutazai import Context, Kernel, Reply, Task, Ticket


def test_a_function_is_an_agent(kernel: Kernel) -> None:
    @kernel.agent(skills=["shout", "cry"])
    def voice(text: str) -> str:
        """Says it louder."""
        return text.upper()

    assert kernel.call("shout", "hello") == "HELLO"
    assert kernel.call("cry", "x", agent="voice") == "X"
    assert voice("still a function") == "STILL A FUNCTION"
    [card] = [agent["card"] for agent in kernel.agents()]
    assert (card["name"], card["description"]) == ("voice", "Says it louder.")


def test_a_bare_decorator_names_agent_and_skill_after_the_function(kernel: Kernel) -> None:
    @kernel.agent
    def double(number: int) -> int:
        return 2 * number

    assert kernel.call("double", 21) == 42


def test_an_inline_agent_runs_on_the_callers_thread(kernel: Kernel) -> None:
    @kernel.agent(inline=True)
    def where(_: object) -> str:
        return threading.current_thread().name

    @kernel.agent
    def elsewhere(_: object) -> int:
        return threading.get_ident()

    assert kernel.call("where") == threading.current_thread().name
    assert kernel.call("elsewhere") != threading.get_ident()


def test_the_context_knows_the_call(kernel: Kernel) -> None:
    @kernel.agent(skills=["ask"])
    def asked(_: object, context: Context) -> dict[str, Any]:
        return {
            "id": context.id,
            "skill": context.skill,
            "remaining": context.remaining,
            "cancelled": context.cancelled,
            "trace": len(context.trace_id),
        }

    ticket = kernel.submit("ask", timeout=30.0)
    answer = ticket.wait()
    assert answer["id"] == ticket.id
    assert (answer["skill"], answer["cancelled"], answer["trace"]) == ("ask", False, 32)
    assert 0.0 < answer["remaining"] <= 30.0


def test_an_agent_calls_another_and_the_pool_does_not_starve() -> None:
    with Kernel(pool=1) as kernel:

        @kernel.agent
        def outer(depth: int) -> int:
            return 0 if depth == 0 else 1 + int(kernel.call("outer", depth - 1))

        assert kernel.call("outer", 20) == 20


def test_a_ticket_can_be_waited_for_more_than_once(kernel: Kernel) -> None:
    release = threading.Event()

    @kernel.agent
    def slow(text: str) -> str:
        release.wait()
        return text

    ticket = kernel.submit("slow", "x")
    assert not ticket.done()
    with pytest.raises(sutazai.WaitTimeout):
        ticket.wait(0.001)
    with pytest.raises(TimeoutError):
        ticket.result()
    assert ticket.exception() is None
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(ticket.wait())) for _ in range(8)]
    for thread in threads:
        thread.start()
    release.set()
    for thread in threads:
        thread.join()
    assert answers == ["x"] * 8
    assert ticket.done() and ticket.result() == ticket.wait() == "x"


def test_callbacks_get_the_ticket_whenever_they_come(kernel: Kernel) -> None:
    replies: list[Reply] = []

    @kernel.agent(reply=True, inline=True)
    def keep(task: Task, reply: Reply) -> None:
        replies.append(reply)

    seen: list[Ticket] = []
    ticket = kernel.submit("keep")
    ticket.on_done(seen.append)
    assert not seen
    replies.pop().send(7)
    ticket.on_done(seen.append)
    assert seen == [ticket, ticket]
    assert ticket.result() == 7


def test_a_callback_keeps_its_call_alive(kernel: Kernel) -> None:
    replies: list[Reply] = []

    @kernel.agent(reply=True, inline=True)
    def keep(task: Task, reply: Reply) -> None:
        replies.append(reply)

    seen: list[Any] = []
    kernel.submit("keep").on_done(lambda ticket: seen.append(ticket.result()))
    [reply] = replies
    assert not reply.cancelled
    reply.send("heard")
    assert seen == ["heard"]


def test_dropping_a_ticket_cancels_and_detaching_does_not(kernel: Kernel) -> None:
    replies: list[Reply] = []

    @kernel.agent(reply=True, inline=True)
    def keep(task: Task, reply: Reply) -> None:
        replies.append(reply)

    kernel.submit("keep")
    assert replies.pop().cancelled
    kernel.submit("keep").detach()
    assert not replies.pop().cancelled


def test_cancelling_tells_the_agent(kernel: Kernel) -> None:
    started, told = threading.Event(), threading.Event()
    noticed: list[bool] = []

    @kernel.agent(reply=True)
    def patient(task: Task, reply: Reply) -> None:
        reply.on_cancel(told.set)
        started.set()
        told.wait()
        noticed.append(reply.cancelled)

    ticket = kernel.submit("patient")
    started.wait()
    assert kernel.calls() == [ticket.id]
    ticket.cancel()
    with pytest.raises(sutazai.CallCancelled) as caught:
        ticket.wait()
    assert not isinstance(caught.value, TimeoutError)
    assert isinstance(ticket.exception(), sutazai.CallCancelled)
    kernel.stop()
    assert noticed == [True]


def test_calls_are_cancelled_by_number(kernel: Kernel) -> None:
    replies: list[Reply] = []

    @kernel.agent(reply=True, inline=True)
    def keep(task: Task, reply: Reply) -> None:
        replies.append(reply)

    ticket = kernel.submit("keep")
    assert ticket.id is not None
    assert kernel.cancel(ticket.id)
    assert not kernel.cancel(ticket.id)
    with pytest.raises(sutazai.CallCancelled):
        ticket.wait()
    assert replies[0].cancelled


def test_an_operation_under_way_is_cancelled_by_its_ticket(kernel: Kernel) -> None:
    replies: list[Reply] = []

    @kernel.agent(reply=True, inline=True)
    def keep(task: Task, reply: Reply) -> None:
        replies.append(reply)

    ticket = kernel.begin("agent.call", skill="keep")
    assert ticket.id is None and not ticket.done()
    ticket.cancel()
    with pytest.raises(sutazai.CallCancelled):
        ticket.wait()
    assert replies[0].cancelled


def test_timeouts_come_from_the_call_the_agent_and_the_kernel() -> None:
    with Kernel(clock="virtual", timeout=3.0) as kernel:

        @kernel.agent(reply=True, inline=True)
        def never(task: Task, reply: Reply) -> None:
            kept.append(reply)

        @kernel.agent(reply=True, inline=True, timeout=2.0)
        def never_too(task: Task, reply: Reply) -> None:
            kept.append(reply)

        kept: list[Reply] = []
        tickets = [
            kernel.submit("never", timeout=1.0),
            kernel.submit("never_too"),
            kernel.submit("never"),
        ]
        done = []
        for _ in range(3):
            kernel.advance(1.1)
            done.append([ticket.done() for ticket in tickets])
        assert done == [[True, False, False], [True, True, False], [True, True, True]]
        for ticket in tickets:
            with pytest.raises(sutazai.DeadlineExceeded) as caught:
                ticket.wait()
            assert isinstance(caught.value, TimeoutError)
            assert caught.value.class_ == "transient"
        assert all(reply.cancelled for reply in kept)


def test_virtual_time_does_not_wait() -> None:
    with Kernel(clock="virtual") as kernel:

        @kernel.agent
        def work(number: int) -> int:
            return number + 1

        ticket = kernel.submit("work", 1)
        with pytest.raises(sutazai.WouldDeadlock) as caught:
            ticket.wait()
        assert "advance" in str(caught.value)
        assert kernel.advance(0.0) == 1
        assert ticket.wait() == 2


def test_only_a_virtual_clock_is_moved(kernel: Kernel) -> None:
    with pytest.raises(sutazai.Unsupported):
        kernel.advance(1.0)


def test_concurrency_is_bounded(kernel: Kernel) -> None:
    replies: list[Reply] = []

    @kernel.agent(reply=True, inline=True, concurrency=1)
    def one(task: Task, reply: Reply) -> None:
        replies.append(reply)

    first = kernel.submit("one")
    with pytest.raises(sutazai.Overloaded):
        kernel.call("one")
    replies.pop().send("done")
    assert first.wait() == "done"


def test_parts_are_read_as_they_come_and_after(kernel: Kernel) -> None:
    go = threading.Semaphore(0)

    @kernel.agent
    def count(to: int, context: Context) -> str:
        for number in range(to):
            go.acquire()
            context.progress(number)
        return "done"

    ticket = kernel.submit("count", 3)
    seen = []
    go.release()
    for part in ticket:
        seen.append(part)
        go.release()
    assert seen == [0, 1, 2]
    assert ticket.wait() == "done"

    late = kernel.submit("count", 3)
    go.release(3)
    late.wait()
    assert list(late) == [0, 1, 2] and late.missed_parts == 0


def test_parts_that_nobody_reads_are_bounded_and_counted(kernel: Kernel) -> None:
    @kernel.agent
    def chatter(to: int, context: Context) -> None:
        for number in range(to):
            context.progress(number)

    ticket = kernel.submit("chatter", 300)
    ticket.wait()
    assert list(ticket) == list(range(44, 300))
    assert ticket.missed_parts == 44


def test_agents_come_and_go(kernel: Kernel) -> None:
    @kernel.agent
    def brief(_: object) -> int:
        return 1

    assert kernel.call("brief") == 1
    with pytest.raises(sutazai.AlreadyExists):
        kernel.agent(brief)
    kernel.remove_agent("brief")
    with pytest.raises(sutazai.NoSkill) as caught:
        kernel.call("brief")
    assert isinstance(caught.value, LookupError)
    with pytest.raises(sutazai.NotFound):
        kernel.remove_agent("brief")
    kernel.agent(brief)
    assert kernel.call("brief") == 1


def test_the_echo_agent_is_there_without_writing_one(kernel: Kernel) -> None:
    kernel.add_echo_agent()
    kernel.add_echo_agent("mirror", skill="mirror")
    assert kernel.call("echo", {"a": [1]}) == {"a": [1]}
    assert kernel.call("mirror", b"\x00\xff") == b"\x00\xff"


def test_a_kernel_starts_once_and_stops_once() -> None:
    kernel = Kernel()
    assert kernel.phase == "built"
    with pytest.raises(sutazai.NotRunning):
        kernel.call("x")
    kernel.start()
    assert kernel.start().phase == "running"
    kernel.stop()
    kernel.stop()
    assert kernel.phase == "stopped"
    with pytest.raises(sutazai.NotRunning):
        kernel.start()


def test_stopping_answers_what_is_left(kernel: Kernel) -> None:
    replies: list[Reply] = []

    @kernel.agent(reply=True)
    def keep(task: Task, reply: Reply) -> None:
        replies.append(reply)

    ticket = kernel.submit("keep")
    kernel.stop(0.0)
    with pytest.raises(sutazai.CallCancelled):
        ticket.wait()
    # It may have been cancelled before the pool came to it.
    for reply in replies:
        with pytest.raises(sutazai.TooLate):
            reply.send("after shutdown")


def test_two_kernels_live_in_one_process(kernel: Kernel, tmp_path: Path) -> None:
    with Kernel(tmp_path / "state") as other:
        kernel.add_echo_agent()
        with pytest.raises(sutazai.NoSkill):
            other.call("echo")
        with pytest.raises(sutazai.StoreError) as caught:
            Kernel(tmp_path / "state")
        assert caught.value.name == "store.locked"
    with Kernel(tmp_path / "state") as again:
        assert again.data_dir == tmp_path / "state"


def test_a_kernel_that_is_forgotten_warns_and_stops() -> None:
    kernel = Kernel().start()
    with pytest.warns(ResourceWarning, match="unstopped"):
        del kernel


def test_the_same_seed_gives_the_same_traces() -> None:
    def trace() -> str:
        with Kernel(seed=7) as kernel:

            @kernel.agent
            def tell(_: object, context: Context) -> str:
                return context.trace_id

            return str(kernel.call("tell"))

    assert trace() == trace()


def test_a_manifest_describes_a_kernel(tmp_path: Path) -> None:
    manifest = tmp_path / "sutazai.toml"
    manifest.write_text('data_dir = ":memory:"\n[limits]\ntimeout = "5s"\n')
    with Kernel(manifest=manifest) as kernel:
        assert kernel.data_dir is None
    with pytest.raises(ValueError):
        Kernel(manifest=manifest, timeout=3.0)
    manifest.write_text("[limit]\n")
    with pytest.raises(sutazai.ConfigError) as caught:
        Kernel(manifest=manifest)
    assert caught.value.location is not None
    assert (caught.value.location.line, caught.value.location.column) == (1, 2)
    assert caught.value.advice is not None and "limits" in caught.value.advice
    with pytest.raises(sutazai.ConfigError):
        Kernel(manifest=tmp_path / "nowhere.toml")
