"""Trees whose children are started again, and messages that outlive them."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
import sutazai


def test_a_loop_runs_until_it_is_told_to_stop() -> None:
    began, ended = threading.Event(), threading.Event()
    with sutazai.Kernel() as kernel:

        @kernel.supervision.worker
        def poll(life: sutazai.WorkerLife) -> None:
            assert life.child == "main>poll"
            assert not life.stopping
            began.set()
            while not life.wait(60.0):
                pass
            assert life.stopping
            ended.set()

        kernel.supervision.add("main", [{"id": "poll"}])
        assert began.wait(10)
        assert kernel.supervision.trees() == [
            {
                "name": "main",
                "state": "running",
                "counts": {"specs": 1, "active": 1, "supervisors": 0, "workers": 1},
            }
        ]
    assert ended.is_set()


def test_a_loop_that_raises_is_started_again() -> None:
    lives: list[int] = []
    third = threading.Event()
    with sutazai.Kernel() as kernel:

        @kernel.supervision.worker(name="fragile")
        def work(life: sutazai.WorkerLife) -> None:
            lives.append(1)
            if len(lives) < 3:
                raise ConnectionError("lost")
            third.set()
            life.wait(60.0)

        kernel.supervision.add("main", [{"id": "a", "does": "fragile"}], intensity=5)
        assert third.wait(10)
        child = kernel.supervision.status("main")["children"][0]
        assert child["restarts"] == 2
        failure = child["last_failure"]
        assert failure["error"]["message"].endswith("ConnectionError: lost")


def test_messages_outlive_their_child_and_poison_is_set_aside() -> None:
    done: list[str] = []
    with sutazai.Kernel(clock="virtual") as kernel:
        poisoned = kernel.subscribe("recovery.mailbox.poisoned")

        @kernel.supervision.message_worker(mailbox={"capacity": 8})
        def note(message: str) -> None:
            if message == "crash":
                raise RuntimeError("on purpose")
            done.append(message)

        added = kernel.begin(
            "recovery.tree_add",
            name="main",
            spec={"intensity": 5, "children": [{"id": "one", "does": "note"}]},
        )
        kernel.advance(0)
        assert added.result() == {"done": True}
        numbers = [kernel.supervision.push("main>one", text) for text in ("a", "crash", "b")]
        kernel.advance(0.001)
        assert done == ["a", "b"]
        mailbox = kernel.supervision.mailbox("main>one")
        assert mailbox["status"]["set_aside"] == 1
        assert mailbox["poison"][0]["id"] == numbers[1]
        assert [kill["error"]["message"] for kill in mailbox["poison"][0]["kills"]] == [
            "the worker raised RuntimeError: on purpose"
        ] * 2
        event = poisoned.next(0.0)
        assert event is not None
        assert event.payload["child"] == "main>one"
        assert kernel.supervision.discard("main>one", numbers[1]) == "crash"
        with pytest.raises(sutazai.SutazaiError, match="set aside"):
            kernel.supervision.retry("main>one", numbers[1])


def test_children_come_and_go_while_it_runs() -> None:
    with sutazai.Kernel() as kernel:

        @kernel.supervision.message_worker
        def note(_: object) -> None:
            pass

        supervision = kernel.supervision
        supervision.add("main", [{"id": "one", "does": "note"}])
        supervision.start_child("main", {"id": "two", "does": "note"})
        supervision.terminate_child("main>two")
        supervision.restart_child("main>two")
        supervision.terminate_child("main>two")
        supervision.delete_child("main>two")
        assert [child["id"] for child in supervision.status("main")["children"]] == ["one"]
        supervision.remove("main")
        assert supervision.trees() == []


def test_a_tree_that_gave_up_says_why_and_starts_again_with_its_messages() -> None:
    done: list[str] = []
    with sutazai.Kernel() as kernel:
        changes = kernel.subscribe("recovery.tree.changed")

        @kernel.supervision.message_worker
        def note(message: str) -> None:
            if message == "crash":
                raise RuntimeError("on purpose")
            done.append(message)

        supervision = kernel.supervision
        supervision.add("main", [{"id": "one", "does": "note"}], intensity=1)
        with pytest.raises(sutazai.Invalid, match="has not ended"):
            supervision.start("main")
        for message in ("crash", "a"):
            supervision.push("main>one", message)
        while (change := changes.next(30.0)) is not None:
            if change.payload["path"] == "main" and change.payload["to"] == "stopped":
                break
        tree = supervision.trees()[0]
        assert tree["state"] == "stopped"
        assert "counts" not in tree
        why = tree["why"]
        assert (why["cause"], why["child"]) == ("intensity", "main>one")
        assert why["error"]["message"] == "the worker raised RuntimeError: on purpose"
        assert why["at"].endswith("Z")
        with pytest.raises(sutazai.NotFound, match="main"):
            supervision.start("mian")
        supervision.start("main")
        assert "why" not in supervision.trees()[0]
        while supervision.mailbox("main>one")["status"]["done"] < 1:
            time.sleep(0.001)
        assert done == ["a"]
        assert supervision.mailbox("main>one")["status"]["set_aside"] == 1


def test_a_worker_that_would_wait_for_its_own_end_is_refused() -> None:
    came: list[sutazai.SutazaiError] = []
    done = threading.Event()
    with sutazai.Kernel() as kernel:
        supervision = kernel.supervision
        minute: dict[Literal["timeout_ms"], int] = {"timeout_ms": 60_000}

        @kernel.agent
        async def echo(value: int) -> int:
            return value

        def refused(call: Callable[[], object]) -> None:
            try:
                call()
            except sutazai.WouldDeadlock as error:
                came.append(error)

        def attempts(child: str) -> None:
            for call in (
                lambda: supervision.restart_child(child),
                lambda: supervision.terminate_child(child),
                lambda: supervision.remove("main"),
                lambda: kernel.stop(60.0),
            ):
                refused(call)
            supervision.start_child("main", {"id": f"added{len(came)}", "does": "handle"})

        @kernel.supervision.message_worker
        def handle(_: object) -> None:
            attempts("main>handler")
            # A stop that was refused has stopped nothing.
            assert kernel.call("echo", 3) == 3
            done.set()

        @kernel.supervision.worker
        def loop(life: sutazai.WorkerLife) -> None:
            attempts(life.child)
            done.set()
            while not life.wait(60.0):
                pass

        supervision.add("main", [{"id": "handler", "does": "handle", "shutdown": minute}])
        supervision.push("main>handler", None)
        assert done.wait(30)
        done.clear()
        supervision.start_child("main", {"id": "loop", "shutdown": minute})
        assert done.wait(30)
        assert len(came) == 8
        assert all("another thread" in (error.advice or "") for error in came)
        status = supervision.mailbox("main>handler")["status"]
        assert (status["accepted"], status["returned"], status["set_aside"]) == (1, 0, 0)
        children = supervision.status("main")["children"]
        assert [child["restarts"] for child in children] == [0, 0, 0, 0]


def test_a_worker_asks_for_its_own_restart_without_waiting() -> None:
    lives: list[sutazai.Ticket] = []
    again = threading.Event()
    with sutazai.Kernel() as kernel:

        @kernel.supervision.worker
        def loop(life: sutazai.WorkerLife) -> None:
            if not lives:
                lives.append(kernel.begin("recovery.child_restart", path=life.child))
            else:
                again.set()
            while not life.wait(60.0):
                pass

        kernel.supervision.add("main", [{"id": "loop"}])
        assert again.wait(30)
        assert lives[0].wait(30.0) == {"done": True}


def test_a_stop_under_virtual_time_is_refused_in_a_worker() -> None:
    came: list[str] = []
    with sutazai.Kernel(clock="virtual") as kernel:

        @kernel.supervision.message_worker
        def handle(_: object) -> None:
            try:
                kernel.stop()
            except sutazai.WouldDeadlock as error:
                came.append(error.name)

        kernel.supervision.add("main", [{"id": "handle"}])
        kernel.supervision.push("main>handle", None)
        kernel.advance(0)
        assert came == ["base.would_deadlock"]
        assert kernel.supervision.mailbox("main>handle")["status"]["done"] == 1


def test_a_stop_does_not_wait_for_a_handler_that_is_killed_brutally() -> None:
    began, release = threading.Event(), threading.Event()
    kernel = sutazai.Kernel().start()

    @kernel.supervision.message_worker
    def hang(_: object) -> None:
        began.set()
        release.wait(60)

    kernel.supervision.add("main", [{"id": "hang", "shutdown": "brutal_kill"}])
    kernel.supervision.push("main>hang", None)
    assert began.wait(30)
    before = time.monotonic()
    kernel.stop(60.0)
    assert time.monotonic() - before < 30
    release.set()


def test_what_waits_has_a_form_that_is_awaited() -> None:
    async def run() -> None:
        async with sutazai.Kernel() as kernel:
            supervision = kernel.supervision

            @kernel.supervision.message_worker
            def note(_: object) -> None:
                raise RuntimeError("on purpose")

            await supervision.aadd("main", [{"id": "one", "does": "note"}], intensity=0)
            await supervision.astart_child("main", {"id": "two", "does": "note"})
            await supervision.aterminate_child("main>two")
            await supervision.arestart_child("main>two")
            await supervision.aterminate_child("main>two")
            await supervision.adelete_child("main>two")
            with pytest.raises(sutazai.NotFound):
                await supervision.arestart_child("main>two")
            with pytest.raises(sutazai.WouldDeadlock):
                supervision.restart_child("main>one")
            with pytest.raises(sutazai.WouldDeadlock, match="asyncio"):
                supervision.add("other", [])
            with pytest.raises(sutazai.Invalid):
                await supervision.astart("main")
            supervision.push("main>one", None)
            while supervision.trees()[0]["state"] != "stopped":
                await asyncio.sleep(0.001)
            await supervision.astart("main")
            await supervision.aremove("main")
            assert supervision.trees() == []

    asyncio.run(run())


def test_what_is_wrong_is_said() -> None:
    with sutazai.Kernel() as kernel:

        async def later(_: object) -> None:
            pass

        def rounds(_: object) -> Iterator[None]:
            yield

        with pytest.raises(TypeError, match="plain function"):
            kernel.supervision.worker(later)
        with pytest.raises(TypeError, match="a worker is a plain function, not a generator function"):
            kernel.supervision.worker(rounds)
        with pytest.raises(TypeError, match="a worker is a plain function, not a generator function"):
            kernel.supervision.message_worker(rounds)
        with pytest.raises(TypeError, match="give one"):
            kernel.supervision.worker(lambda life: None)
        with pytest.raises(sutazai.SutazaiError, match="no worker of this name"):
            kernel.supervision.add("main", [{"id": "a"}])
        with pytest.raises(sutazai.Invalid, match=r"children\[0\]\.id.* is missing"):
            kernel.supervision.add("main", [{}])  # type: ignore[typeddict-item]
        with pytest.raises(sutazai.Invalid, match=r"field=children\[0\]\.id"):
            kernel.supervision.add("main", [{"id": ""}])
        with pytest.raises(sutazai.SutazaiError, match="bogus"):
            kernel.supervision.message_worker(print, mailbox={"bogus": 1})  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="field=capacity"):
            kernel.supervision.message_worker(print, mailbox={"capacity": 0})
        with pytest.raises(sutazai.SutazaiError, match="no child of this path"):
            kernel.supervision.push("main>a", 1)


def test_a_worker_does_not_keep_its_kernel() -> None:
    class Held:
        pass

    held = Held()
    seen = weakref.ref(held)
    kernel = sutazai.Kernel()
    kernel.start()

    def worker(life: sutazai.WorkerLife, keep: Held = held) -> None:
        life.wait(60.0)

    kernel.supervision.worker(worker)
    kernel.supervision.add("main", [{"id": "worker"}])
    kernel.stop(1.0)
    del worker, held, kernel
    gc.collect()
    assert seen() is None


def test_a_tree_is_added_before_the_start_and_in_virtual_time() -> None:
    for clock in ("real", "virtual"):
        kernel = sutazai.Kernel(clock=clock)
        kernel.supervision.message_worker(name="note")(lambda message: None)
        kernel.supervision.add("early", [{"id": "note"}])
        kernel.start()
        kernel.supervision.add("late", [{"id": "note"}])
        assert [tree["state"] for tree in kernel.supervision.trees()] == ["running", "running"]
        kernel.stop(1.0)


def test_messages_that_take_long_do_not_hold_up_calls() -> None:
    release = threading.Event()
    with sutazai.Kernel() as kernel:

        @kernel.supervision.message_worker
        def slow(_: object) -> None:
            release.wait(30)

        @kernel.agent
        def quick(x: int) -> int:
            return x

        kernel.supervision.add("m", [{"id": f"c{n}", "does": "slow"} for n in range(100)])
        for n in range(100):
            kernel.supervision.push(f"m>c{n}", n)
        assert kernel.call("quick", 1, timeout=20) == 1
        release.set()


def test_a_forked_child_may_have_a_kernel_of_its_own() -> None:
    """Whatever the threads of the parent's kernel wait in, the child does not come upon it."""
    with sutazai.Kernel() as kernel:

        @kernel.supervision.worker
        def loop(life: sutazai.WorkerLife) -> None:
            while not life.wait(0.01):
                pass

        kernel.supervision.add("main", [{"id": "loop"}])
        for _ in range(12):
            child = os.fork()
            if child == 0:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(20)
                own = sutazai.Kernel().start()
                own.supervision.worker(name="w")(lambda life: life.wait(60.0))
                own.supervision.add("m", [{"id": "w"}])
                own.stop(5.0)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
