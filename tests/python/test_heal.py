"""Degradation, isolation, playbooks and the safe state, with actions and stages in Python."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sutazai
from sutazai import ActionContext, Kernel, SafeContext

Run = Callable[[str], "subprocess.CompletedProcess[str]"]

LONG = 60.0


@pytest.fixture
def virtual() -> Iterator[Kernel]:
    with Kernel(clock="virtual") as kernel:
        yield kernel


def on(subject: str, action: str, **more: Any) -> sutazai.PlaybookPolicy:
    """One playbook that takes `action` on every event of `subject`."""
    book: Any = {
        "name": "p",
        "when": {"event": {"subject": subject}},
        "action": action,
        "cooldown_ms": 0,
        **more,
    }
    return {"playbooks": [book]}


def play(kernel: Kernel, subject: str, payload: object = None) -> sutazai.PlaybookEntry:
    """Publishes an event; the newest entry of the record that comes of it."""
    kernel.publish(subject, payload)
    kernel.advance(0.001)
    return kernel.playbooks.record(1)[0]


# ---- degradation ----


def test_a_level_by_hand_and_back(virtual: Kernel) -> None:
    degradation = virtual.degradation
    assert degradation.level == "full"
    degradation.set_policy(
        {
            "features": {
                "previews": {"reduced": "off"},
                "search": {"essential": {"fallback": "cache"}},
            },
            "up_dwell_ms": 1000,
        }
    )
    assert degradation.check("previews") == "on"
    degradation.force("essential", by="ops")
    status = degradation.status()
    assert (status["level"], status["forced"], status["changes"]) == ("essential", True, 1)
    assert (status["last"]["from"], status["last"]["by"]) == ("full", "ops")
    assert degradation.check("search") == {"fallback": "cache"}
    assert degradation.check("nobody speaks of it") == "on"
    with pytest.raises(sutazai.Degraded):
        degradation.check("previews")
    degradation.release()
    assert not degradation.status()["forced"]
    with pytest.raises(sutazai.NotFound, match="reduced"):
        degradation.force("redused")
    with pytest.raises(sutazai.Invalid):
        degradation.set_policy({"levels": []})
    with pytest.raises(TypeError, match="feature must be a str"):
        degradation.check(1)  # type: ignore[arg-type]


def test_signals_lower_the_level_and_time_brings_it_back(virtual: Kernel) -> None:
    assert not virtual.signal("load", 0.95), "nobody listens"
    rule: sutazai.DegradeRule = {"level": "reduced", "signal": "load", "enter": 0.9, "leave": 0.7}
    virtual.degradation.set_policy({"rules": [rule], "up_dwell_ms": 5000})
    assert virtual.signal("load", 0.95)
    assert virtual.degradation.level == "reduced"
    virtual.signal("load", 0.5)
    virtual.advance(5)
    assert virtual.degradation.level == "full"


# ---- isolation ----


def test_a_target_is_set_apart_and_let_in(virtual: Kernel) -> None:
    isolation = virtual.isolation
    assert isolation.list() == []
    apart = isolation.quarantine("echo", timedelta(seconds=2), by="ops")
    assert (apart["state"], apart["why"], apart["by"]) == ("quarantined", "manual", "ops")
    assert apart["probe_in_ms"] == 2000
    virtual.add_echo_agent()
    with pytest.raises(sutazai.Quarantined):
        virtual.call("echo", 1)
    assert isolation.release("echo")["state"] == "healthy"
    assert virtual.submit("echo", 1).result() == 1
    assert "probe_in_ms" not in isolation.quarantine("echo", float("inf"))
    assert [target["target"] for target in isolation.list()] == ["echo"]
    with pytest.raises(sutazai.NotFound):
        isolation.release("nobody")
    with pytest.raises(ValueError, match="duration"):
        isolation.quarantine("echo", -1)


def test_evidence_is_judged_by_the_policy(virtual: Kernel) -> None:
    virtual.isolation.set_policy({"crash_loop": {"crashes": 2}, "memory": {"bytes": 1000}})
    assert virtual.isolation.observe("a", "crash")["state"] == "suspect"
    assert virtual.isolation.observe("a", "crash")["crashes"] == 2
    assert virtual.isolation.observe("b", {"memory": 1001})["why"] == "memory"
    with pytest.raises(sutazai.Invalid):
        virtual.isolation.set_policy({"probes": 0})
    with pytest.raises(sutazai.RequestInvalid):
        virtual.isolation.observe("a", "boredom")  # type: ignore[arg-type]


# ---- playbooks ----


def test_a_playbook_takes_an_action_in_python(virtual: Kernel) -> None:
    seen: list[ActionContext] = []

    @virtual.playbooks.action("free", schema={"type": "object"})
    def free(context: ActionContext) -> dict[str, int]:
        seen.append(context)
        return {"freed": 3}

    assert {"name": "free", "schema": {"type": "object"}} in virtual.playbooks.actions()
    virtual.playbooks.set_policy(on("disk.*", "free", params={"of": "$/who", "on": "$subject"}))
    entry = play(virtual, "disk.full", {"who": "cache"})
    assert (entry["state"], entry["answer"], entry["playbook"]) == ("done", {"freed": 3}, "p")
    (context,) = seen
    assert context.params == {"of": "cache", "on": "disk.full"}
    assert (context.action, context.playbook, context.entry) == ("free", "p", entry["id"])
    assert context.trigger == {"event": {"subject": "disk.full", "payload": {"who": "cache"}}}
    assert context.at[:4].isdigit()
    (view,) = virtual.playbooks.list()
    assert (view["known"], view["used"], view["playbook"]["action"]) == (True, 1, "free")


def test_what_an_action_raises_stands_in_the_record_and_escalates(virtual: Kernel) -> None:
    @virtual.playbooks.action()
    def breaks(_: ActionContext) -> None:
        raise PermissionError("no way in")

    @virtual.playbooks.action()
    def garbage(_: ActionContext) -> object:
        return {1, 2}

    virtual.playbooks.set_policy(
        on("t", "breaks", escalate={"action": "degrade", "params": {"level": "reduced"}})
    )
    play(virtual, "t")
    failed, escalated = virtual.playbooks.record()
    assert failed["state"] == "failed"
    assert failed["error"]["message"] == "the action raised PermissionError: no way in"
    assert escalated["escalation_of"] == failed["id"]
    assert virtual.degradation.level == "reduced"
    virtual.playbooks.set_policy(on("u", "garbage"))
    assert "no JSON form" in play(virtual, "u")["error"]["message"]


def test_a_dry_run_does_not_call_the_action(virtual: Kernel) -> None:
    def would(context: ActionContext) -> str:
        return f"would free {context.params}"

    @virtual.playbooks.action()
    def plain(_: ActionContext) -> None:
        raise AssertionError("called in a dry run")

    virtual.playbooks.action("told", dry_run=would)(plain)
    virtual.playbooks.set_policy(on("t", "plain", params=[1], dry_run=True))
    assert play(virtual, "t")["answer"] == {"would": "plain", "params": [1]}
    virtual.playbooks.set_policy(on("t", "told", params=[1], dry_run=True))
    assert play(virtual, "t")["answer"] == "would free [1]"


def test_what_waits_is_approved_or_denied(virtual: Kernel) -> None:
    ran: list[int] = []
    virtual.playbooks.action("note")(lambda context: ran.append(context.entry))
    virtual.playbooks.set_policy(on("t", "note", approval_ms=1000))
    first = play(virtual, "t")
    assert first["state"] == "pending" and "expires" in first
    virtual.playbooks.approve(first["id"], by="ops")
    virtual.advance(0.001)
    assert ran == [first["id"]]
    second = play(virtual, "t")
    virtual.playbooks.deny(second["id"], by="ops")
    (denied,) = virtual.playbooks.record(1)
    assert (denied["state"], denied["by"]) == ("denied", "ops")
    with pytest.raises(sutazai.RecoveryError):
        virtual.playbooks.approve(second["id"])
    with pytest.raises(sutazai.NotFound):
        virtual.playbooks.approve(99)


def test_until_a_policy_is_set_no_error_takes_the_safe_state() -> None:
    """And what agents raise is judged where their calls are guarded."""
    for told, guarded, state in [(False, True, "armed"), (True, False, "armed"), (True, True, "safe")]:
        with Kernel() as kernel:

            @kernel.agent
            def full(_: object) -> None:
                raise MemoryError("no more")

            if guarded:
                kernel.guards.set(skill="full", retry=True)
            if told:
                kernel.failsafe.set_policy({})
            with pytest.raises(sutazai.AgentError):
                kernel.call("full", 1)
            assert kernel.failsafe.wait(LONG if state == "safe" else 0)["state"] == state


def test_what_is_no_mapping_is_told(kernel: Kernel) -> None:
    parts: list[Any] = [
        kernel.classification,
        kernel.degradation,
        kernel.failsafe,
        kernel.isolation,
        kernel.playbooks,
    ]
    for part in parts:
        with pytest.raises(TypeError, match="policy must be a mapping, not NoneType"):
            part.set_policy(None)
    nothing: Any = 5
    with pytest.raises(TypeError, match="failure must be a mapping, not int"):
        kernel.classification.classify(nothing)


def test_mistakes_are_told(kernel: Kernel) -> None:
    async def coroutine(_: object) -> None: ...

    class Awaited:
        async def __call__(self, _: object) -> None: ...

    with pytest.raises(TypeError, match="an action is a plain function"):
        kernel.playbooks.action("a")(coroutine)
    with pytest.raises(TypeError, match="an action is a plain function"):
        kernel.playbooks.action("a")(Awaited())
    with pytest.raises(TypeError, match="an action is a plain function, not a generator function"):
        kernel.playbooks.action("a")(_generator)
    with pytest.raises(TypeError, match="a dry run is a plain function, not an async generator"):
        kernel.playbooks.action("a", dry_run=_async_generator)(print)
    with pytest.raises(TypeError, match="a stage is a plain function, not a generator function"):
        kernel.failsafe.stage("a")(_generator)
    with pytest.raises(TypeError, match="a stage is a plain function"):
        kernel.failsafe.stage("a")(coroutine)
    with pytest.raises(TypeError, match="a dry run must be callable, not int"):
        kernel.playbooks.action("a", dry_run=1)(print)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no name of its own"):
        kernel.playbooks.action()(lambda _: None)
    with pytest.raises(TypeError, match="name must be a str"):
        kernel.failsafe.stage(1)(print)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="within"):
        kernel.failsafe.stage("a", within=-1)(print)
    with pytest.raises(sutazai.AlreadyExists):
        kernel.playbooks.action("publish")(print)
    with pytest.raises(sutazai.AlreadyExists):
        kernel.failsafe.stage("drain")(print)
    with pytest.raises(sutazai.Invalid):
        kernel.playbooks.action("")(print)
    with pytest.raises(sutazai.Invalid):
        kernel.failsafe.set_policy({"total_ms": 0})
    with pytest.raises(sutazai.Invalid, match="drain_ms"):
        kernel.failsafe.set_policy({"total_ms": 100})
    with pytest.raises(sutazai.RequestInvalid, match=r"policy\.totl_ms.*did you mean \"total_ms\"\?"):
        kernel.failsafe.set_policy({"totl_ms": 1})  # type: ignore[typeddict-unknown-key]


def _generator(_: object) -> Iterator[int]:
    yield 1


async def _async_generator(_: object) -> AsyncIterator[int]:
    yield 1


async def _in_a_loop() -> None:
    async with Kernel() as kernel:
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        @kernel.playbooks.action()
        def tell(_: ActionContext) -> None:
            loop.call_soon_threadsafe(done.set)

        kernel.playbooks.set_policy(on("t", "tell"))
        kernel.publish("t")
        await asyncio.wait_for(done.wait(), LONG)
        assert kernel.degradation.level == "full"
        assert kernel.isolation.list() == []
        kernel.failsafe.trigger("a drill")
        with pytest.raises(sutazai.WouldDeadlock):
            kernel.failsafe.wait()
        status = await asyncio.to_thread(kernel.failsafe.wait, LONG)
        assert status["state"] == "safe"


def test_all_of_it_works_where_a_loop_runs() -> None:
    asyncio.run(_in_a_loop())


# ---- the safe state ----


def test_the_safe_state_runs_the_stages_of_python_first() -> None:
    kernel = Kernel()
    seen: list[SafeContext] = []

    @kernel.failsafe.stage("valve", within=LONG)
    def valve(context: SafeContext) -> None:
        seen.append(context)

    kernel.start()
    kernel.failsafe.set_policy({"total_ms": 120_000, "drain_ms": 100})

    @kernel.failsafe.stage(within=timedelta(seconds=LONG))
    def stuck(_: SafeContext) -> None:
        raise RuntimeError("it is stuck")

    assert kernel.failsafe.state == "armed"
    assert kernel.failsafe.trigger("a drill")
    assert not kernel.failsafe.trigger("another")
    status = kernel.failsafe.wait(LONG)
    assert (status["state"], status["trigger"], status["reason"]) == ("safe", "host", "a drill")
    assert (status["total_ms"], status["bundle"]) == (120_000, None)
    first, second, third = status["stages"][:3]
    assert (first["name"], first["outcome"]) == ("valve", "done")
    assert (second["name"], second["outcome"]) == ("stuck", "failed")
    assert "it is stuck" in second["error"]["message"]
    assert third["name"] == "stop_admitting"
    (context,) = seen
    assert context[:3] == ("valve", "host", "a drill") and 0 < context.within <= LONG
    with pytest.raises(sutazai.SafeState):
        kernel.call("anything")
    with pytest.raises(sutazai.SafeState):
        kernel.failsafe.stage("late")(print)
    with pytest.raises(sutazai.SafeState):
        kernel.failsafe.set_policy({})
    kernel.stop()


def test_a_stage_that_hangs_is_left_behind(kernel: Kernel) -> None:
    go = threading.Event()
    kernel.failsafe.stage("hangs", within=0.02)(lambda _: go.wait(LONG))
    kernel.failsafe.trigger("a drill")
    status = kernel.failsafe.wait(LONG)
    go.set()
    assert status["stages"][0]["outcome"] == "timed_out" and status["state"] == "safe"


def test_a_stop_does_not_keep_a_stage_from_its_turn() -> None:
    kernel = Kernel().start()
    begun, go, ran = threading.Event(), threading.Event(), threading.Event()

    @kernel.failsafe.stage(within=LONG)
    def first(_: SafeContext) -> None:
        begun.set()
        go.wait(LONG)

    kernel.failsafe.stage("second", within=LONG)(lambda _: ran.set())
    kernel.failsafe.set_policy({"total_ms": 120_000})
    kernel.failsafe.trigger("a drill")
    assert begun.wait(LONG)
    kernel.stop(0.1)
    go.set()
    assert ran.wait(LONG)
    assert kernel.failsafe.wait(LONG)["stages"][1]["outcome"] == "done"


def test_critical_exceptions_are_reported(kernel: Kernel) -> None:
    critical = sutazai.AgentError("the index is damaged", class_="critical")
    assert not kernel.failsafe.report(critical), "the policy does not say so"
    kernel.failsafe.set_policy({"drain_ms": 100})
    assert not kernel.failsafe.report(ValueError("a mistake"))
    assert kernel.failsafe.report(critical)
    status = kernel.failsafe.wait(LONG)
    assert status["trigger"] == "critical" and "damaged" in status["error"]["message"]


def test_the_first_wait_for_the_safe_state_ends(kernel: Kernel) -> None:
    assert kernel.failsafe.wait(0.01)["state"] == "armed"


@pytest.mark.skipif(not hasattr(signal, "SIGTERM") or os.name != "posix", reason="no SIGTERM here")
def test_sigterm_takes_the_safe_state_and_ends_the_process(run_python: Run) -> None:
    result = run_python(
        """
        import os, signal, time, sutazai
        kernel = sutazai.Kernel().start()
        @kernel.failsafe.stage(within=60)
        def valve(context):
            print(context.stage, context.trigger, context.reason, flush=True)
        kernel.failsafe.set_policy({"on_sigterm": True, "total_ms": 60_000})
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        """
    )
    assert (result.stdout, result.stderr) == ("valve signal SIGTERM\n", "")
    assert result.returncode == -signal.SIGTERM


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_sigterm_ends_a_forked_child(run_python: Run) -> None:
    result = run_python(
        """
        import os, signal, time, sutazai
        kernel = sutazai.Kernel()
        kernel.failsafe.set_policy({"on_sigterm": True})
        kernel.start()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            for use in (
                lambda: kernel.playbooks.action("a")(print),
                lambda: kernel.failsafe.stage("a")(print),
                lambda: kernel.failsafe.trigger("a drill"),
                lambda: kernel.degradation.check("a"),
                lambda: kernel.signal("a", 1),
            ):
                try:
                    use()
                except sutazai.Forked:
                    continue
                os._exit(1)
            os.write(write, b".")
            time.sleep(60)
            os._exit(2)
        os.read(read, 1)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), kernel.failsafe.state)
        kernel.stop()
        """
    )
    assert (result.stdout, result.stderr, result.returncode) == ("-15 armed\n", "", 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_sigterm_takes_the_safe_state_of_a_forked_childs_own_kernel(run_python: Run) -> None:
    result = run_python(
        """
        import os, signal, time, sutazai
        kernel = sutazai.Kernel().start()
        kernel.failsafe.set_policy({"on_sigterm": True})
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            own = sutazai.Kernel().start()
            own.failsafe.set_policy({"on_sigterm": True, "total_ms": 60_000})
            @own.failsafe.stage(within=60)
            def valve(context):
                print(context.trigger, flush=True)
            os.write(write, b".")
            time.sleep(60)
            os._exit(2)
        os.read(read, 1)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), kernel.failsafe.state)
        kernel.stop()
        """
    )
    assert (result.stdout, result.stderr, result.returncode) == ("signal\n-15 armed\n", "", 0)


UNCAUGHT = """
    import threading, sutazai
    kernel = sutazai.Kernel()
    kernel.failsafe.set_policy({"on_panic": %s, "total_ms": 60_000})
    kernel.start()
    @kernel.failsafe.stage(within=60)
    def valve(context):
        print(context.trigger, context.reason, flush=True)
    def breaks():
        raise ValueError("nobody catches this")
"""


@pytest.mark.parametrize("asked", [True, False])
def test_an_exception_that_ends_a_thread_takes_the_safe_state(
    run_python: Run, asked: bool
) -> None:
    result = run_python(
        UNCAUGHT % asked
        + """
    for end in (SystemExit, breaks):
        def run():
            raise end() if end is SystemExit else end()
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    status = kernel.failsafe.wait(60 if kernel.failsafe.state != "armed" else 0)
    print(status["state"])
    kernel.stop()
    """
    )
    told = "panic ValueError: nobody catches this\nsafe\n" if asked else "armed\n"
    assert (result.stdout, result.returncode) == (told, 0), result.stderr
    assert result.stderr.count("ValueError: nobody catches this") == 1, "the hook before ran as well"


def test_an_exception_that_ends_the_program_waits_for_the_safe_state(run_python: Run) -> None:
    result = run_python(UNCAUGHT % True + "\n    breaks()\n")
    assert (result.stdout, result.returncode) == ("panic ValueError: nobody catches this\n", 1)
    assert result.stderr.rstrip().endswith("ValueError: nobody catches this")


def test_a_stage_that_hangs_does_not_hold_up_the_exit(run_python: Run) -> None:
    result = run_python(
        """
        import time, sutazai
        kernel = sutazai.Kernel().start()
        @kernel.failsafe.stage(within=60)
        def hangs(context):
            print("begun", flush=True)
            while True:
                time.sleep(0.001)
        kernel.failsafe.set_policy({"total_ms": 60_000})
        kernel.failsafe.trigger("a drill")
        time.sleep(0.2)
        """
    )
    assert (result.stdout, result.stderr, result.returncode) == ("begun\n", "", 0)


# ---- what is held ----


def test_what_actions_and_stages_hold_is_let_go_of() -> None:
    class Held: ...

    def made(taken: bool) -> list[weakref.ref[Held]]:
        action, stage = Held(), Held()
        kernel = Kernel().start()
        kernel.playbooks.action("a", dry_run=lambda _: action)(lambda _: (action, kernel))
        kernel.failsafe.stage("s")(lambda _: (stage, kernel) and None)
        if taken:
            kernel.failsafe.trigger("a drill")
            kernel.failsafe.wait(LONG)
        kernel.stop()
        return [weakref.ref(action), weakref.ref(stage)]

    for taken in (False, True):
        gone = made(taken)
        gc.collect()
        assert [held() for held in gone] == [None, None]


def test_what_was_refused_is_not_held(kernel: Kernel) -> None:
    class Held:
        def __call__(self, _: object) -> None: ...

    action, stage = Held(), Held()
    gone = [weakref.ref(action), weakref.ref(stage)]
    with pytest.raises(sutazai.AlreadyExists):
        kernel.playbooks.action("publish")(action)
    with pytest.raises(sutazai.AlreadyExists):
        kernel.failsafe.stage("drain")(stage)
    del action, stage
    gc.collect()
    assert [held() for held in gone] == [None, None]


def test_decorators_without_parentheses_say_so() -> None:
    with sutazai.Kernel() as kernel:
        with pytest.raises(TypeError, match="parentheses"):
            kernel.failsafe.stage(print)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="parentheses"):
            kernel.playbooks.action(print)  # type: ignore[arg-type]
