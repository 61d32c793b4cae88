"""The guards of a kernel, classification and checkpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sutazai


@pytest.fixture
def virtual() -> Iterator[sutazai.Kernel]:
    with sutazai.Kernel(clock="virtual") as kernel:
        yield kernel


def test_guards_are_set_seen_and_taken_away(virtual: sutazai.Kernel) -> None:
    made = 0

    @virtual.agent(inline=True)
    def work(_: object) -> None:
        nonlocal made
        made += 1
        raise ConnectionResetError

    guards = virtual.guards
    guards.set(retry={"attempts": 2, "base_ms": 10}, breaker={"consecutive": 2}, timeout=5)
    guards.set(agent="work", bulkhead=True)
    guards.set(skill="other", hedge={"min_ms": 5})
    assert guards.policies().keys() == {"all", "agent:work", "skill:other"}
    assert guards.policies()["all"]["timeout_ms"] == 5_000
    guards.remove(agent="work")
    ticket = virtual.submit("work")
    virtual.advance(1)
    with pytest.raises(sutazai.SutazaiError):
        ticket.result()
    assert made == 2
    by_name = {view["calls"]: view["status"] for view in guards.list()}
    assert by_name["all"]["retries"] == 1
    assert by_name["agent:work"]["breaker"]["state"] == "open"
    guards.force("work", "closed")
    assert virtual.submit("work").done() is False
    guards.force("work", None)
    guards.remove()
    guards.remove(skill="other")
    assert guards.policies() == {}


@pytest.mark.parametrize(
    ("given", "raised"),
    [
        ({"skill": "a", "agent": "b"}, TypeError),
        ({"retry": 3}, TypeError),
        ({"timeout": 0}, ValueError),
        ({"agent": "a", "retry": True}, sutazai.Invalid),
        ({"breaker": {"failure_rate": 7}}, sutazai.Invalid),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(
    virtual: sutazai.Kernel, given: dict[str, Any], raised: type[Exception]
) -> None:
    with pytest.raises(raised):
        virtual.guards.set(**given)
    assert virtual.guards.policies() == {}


def test_exceptions_facts_and_texts_are_classified(virtual: sutazai.Kernel) -> None:
    classify = virtual.classification.classify
    assert classify(ConnectionResetError("by peer"))["class"] == "transient"
    assert classify(TypeError("not that"))["class"] == "persistent"
    limited = classify({"http_status": 429, "headers": {"Retry-After": "20"}})
    assert (limited["class"], limited["retry_after_ms"]) == ("transient", 20_000)
    assert classify("No space left on device")["class"] == "critical"
    mine: sutazai.Rule = {"name": "mine", "class": "critical", "exception": "TypeError"}
    assert classify(TypeError(), rules=[mine])["rule"] == "mine"
    assert classify(TypeError())["rule"] != "mine"
    virtual.classification.set_policy({"rules": [mine], "history": {"times": 3}})
    assert classify(TypeError())["rule"] == "mine"
    assert asyncio.run(_classify(virtual))["rule"] == "mine"


async def _classify(kernel: sutazai.Kernel) -> sutazai.Verdict:
    return kernel.classification.classify(TypeError())


def test_rules_that_make_no_sense_are_refused(virtual: sutazai.Kernel) -> None:
    bare: sutazai.Rule = {"name": "bare", "class": "transient"}
    with pytest.raises(sutazai.Invalid, match="bare"):
        virtual.classification.set_policy({"rules": [bare]})
    with pytest.raises(sutazai.Invalid, match="bare"):
        virtual.classification.classify(TypeError(), rules=[bare])


def test_a_checkpoint_holds_what_the_program_registers(tmp_path: Path) -> None:
    state: dict[str, Any] = {"model": "a"}
    order: list[str] = []

    def restore(saved: dict[str, Any]) -> None:
        order.append("models")
        state.clear()
        state.update(saved)

    def register(kernel: sutazai.Kernel) -> None:
        kernel.checkpoints.register("models", lambda: state, restore, needs=["base"])
        kernel.checkpoints.register("base", lambda: None, lambda _: order.append("base"))

    with sutazai.Kernel(tmp_path) as kernel:
        register(kernel)
        checkpoints = kernel.checkpoints
        assert {"base", "models", "recovery.policies"} <= set(checkpoints.registered())
        first = checkpoints.create("before", only=["models", "base"])
        assert first["label"] == "before"
        state["model"] = "b"
        second = checkpoints.create(only=["models", "base"])
        assert checkpoints.diff(first["id"], second["id"])["changed"] == ["models"]
        assert checkpoints.diff(second["id"])["changed"] == []
        assert dict(checkpoints.get(first["id"])["states"])["models"] == {"model": "a"}
        assert [each["id"] for each in checkpoints.list()] == [second["id"], first["id"]]

    # An earlier process's checkpoint is restored by a later one.
    with sutazai.Kernel(tmp_path) as kernel:
        register(kernel)
        assert kernel.checkpoints.restore(first["id"]) == ["base", "models"]
        assert state == {"model": "a"}
        assert order == ["base", "models"]
        assert kernel.checkpoints.delete(first["id"])
        assert not kernel.checkpoints.delete(first["id"])


def test_checkpoints_are_awaited() -> None:
    state = [1]

    async def main() -> None:
        with sutazai.Kernel() as kernel:
            kernel.checkpoints.register("s", state.copy, lambda saved: state.__setitem__(slice(None), saved))
            taken = await kernel.checkpoints.acreate("c", only=["s"])
            state.append(2)
            assert (await kernel.checkpoints.adiff(taken["id"]))["changed"] == ["s"]
            assert await kernel.checkpoints.arestore(taken["id"]) == ["s"]
            assert state == [1]
            assert dict((await kernel.checkpoints.aget(taken["id"]))["states"]) == {"s": [1]}
            assert len(await kernel.checkpoints.alist()) == 1
            assert await kernel.checkpoints.adelete(taken["id"])
            with pytest.raises(sutazai.WouldDeadlock):
                kernel.checkpoints.create()

    asyncio.run(main())


def test_what_cannot_be_saved_or_restored_says_so() -> None:
    def refuses(_: object) -> None:
        raise RuntimeError("not this one")

    with sutazai.Kernel() as kernel:
        kernel.checkpoints.register("odd", object, refuses)
        with pytest.raises(sutazai.Invalid, match="no JSON form"):
            kernel.checkpoints.create(only=["odd"])
        kernel.checkpoints.register("stubborn", lambda: 1, refuses)
        taken = kernel.checkpoints.create(only=["stubborn"])
        with pytest.raises(sutazai.RecoveryError, match="not this one"):
            kernel.checkpoints.restore(taken["id"])
        with pytest.raises(sutazai.AlreadyExists):
            kernel.checkpoints.register("odd", int, int)
        with pytest.raises(TypeError, match="plain function"):
            kernel.checkpoints.register("c", int, _classify)
        with pytest.raises(TypeError, match="restore is a plain function, not a generator function"):
            kernel.checkpoints.register("c", int, _generator)


def _generator(_: object) -> Iterator[int]:
    yield 1


def test_the_kernels_policies_are_rolled_back() -> None:
    with sutazai.Kernel() as kernel:
        kernel.guards.set(retry=True)
        taken = kernel.checkpoints.create("good")
        kernel.guards.set(retry={"attempts": 99})
        kernel.guards.set(skill="new", breaker=True)
        kernel.checkpoints.restore(taken["id"])
        assert kernel.guards.policies().keys() == {"all"}
        assert kernel.guards.policies()["all"]["retry"]["attempts"] == 5
