"""Trees whose children are started again, and messages that outlive them."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref

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
            "the agent raised RuntimeError: on purpose"
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


def test_what_is_wrong_is_said() -> None:
    with sutazai.Kernel() as kernel:

        async def later(_: object) -> None:
            pass

        with pytest.raises(TypeError, match="plain function"):
            kernel.supervision.worker(later)
        with pytest.raises(TypeError, match="give one"):
            kernel.supervision.worker(lambda life: None)
        with pytest.raises(sutazai.SutazaiError, match="no worker of this name"):
            kernel.supervision.add("main", [{"id": "a"}])
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
