"""Agents that are made when they are wanted."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import sutazai

Doubler = Callable[[int], int]
PROBED: dict[str, sutazai.SkillCard] = {"double": {"probe": {"input": 21, "equals": 42}}}


def test_the_best_factory_that_works_makes_the_agent(kernel: sutazai.Kernel) -> None:
    made: list[tuple[str, object]] = []

    @kernel.template(skills=["double"], about=PROBED, cost=0)
    def broken() -> Doubler:
        raise RuntimeError("no blueprint")

    @kernel.template(skills=["double"], about=PROBED, cost=1)
    def odd() -> Doubler:
        return 3  # type: ignore[return-value]

    @kernel.template(skills=["double"], about=PROBED, cost=2)
    def liar() -> Doubler:
        return lambda number: number

    @kernel.template(
        skills=["double"],
        about=PROBED,
        cost=3,
        parameters={"factor": {"schema": {"type": "integer"}, "default": 2}},
        labels={"tier": "best"},
    )
    def good(factor: int) -> Doubler:
        """Doubles."""
        made.append(("good", factor))

        async def double(number: int) -> int:
            await asyncio.sleep(0)
            return factor * number

        return double  # type: ignore[return-value]

    created = kernel.create("double", tries=4)
    assert (created["agent"], created["template"]) == ("good-1", "good")
    failed = {it["template"]: (it["stage"], it["error"]["message"]) for it in created["failed"]}
    assert failed["broken"][0] == "make" and "no blueprint" in failed["broken"][1]
    assert failed["odd"] == ("make", "the factory raised TypeError: the factory odd must return a function, not int")
    assert failed["liar"][0] == "probe" and "42 is wanted, not 21" in failed["liar"][1]
    assert made == [("good", 2)]
    assert [agent["card"]["name"] for agent in kernel.agents()] == ["good-1"]
    assert kernel.agents()[0]["card"]["labels"] == {"tier": "best"}
    assert kernel.call("double", 4) == 8
    view = {it["template"]["name"]: it for it in kernel.templates.list()}["good"]
    assert view["template"]["description"] == "Doubles."
    assert view["figures"]["calls"] > 0.9 and view["figures"]["living"] == 1


def test_where_none_will_do_every_reason_is_told(kernel: sutazai.Kernel) -> None:
    kernel.templates.add({"name": "absent", "skills": ["s"], "make": {"factory": "nobody"}})
    with pytest.raises(sutazai.NotMade) as caught:
        kernel.create("s", {"labels": {"tier": "best"}})
    told = [(it.context.get("reason"), it.context.get("template")) for it in caught.value.problems]
    assert told == [(None, None), ("label", "absent"), ("factory", "absent")]
    with pytest.raises(sutazai.AlreadyExists):
        kernel.templates.add({"name": "absent", "skills": ["s"], "make": {"factory": "nobody"}})
    kernel.templates.remove("absent")
    assert kernel.templates.list() == []


def test_what_there_is_can_be_said() -> None:
    with sutazai.Kernel() as kernel:
        kernel.templates.add(
            {
                "name": "local",
                "skills": ["s"],
                "make": {"process": {"command": ["serve"]}},
                "needs": {"memory": 4 << 30},
                "cost": 0,
            }
        )
        there: sutazai.Surroundings = {"executables": ["serve"], "memory": 8 << 30}
        assert kernel.templates.explain("s", surroundings=there)["template"] == "local"
        there["memory"] = 1 << 30
        choice = kernel.templates.explain("s", surroundings=there)
        assert choice["template"] is None
        assert [it["code"] for it in choice["considered"][0]["reasons"]] == ["memory"]


async def made_and_cancelled(kernel: sutazai.Kernel) -> dict[str, Any]:
    task = asyncio.create_task(kernel.acreate("double", {"exclude": ["good"]}))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return dict(await kernel.acreate("double", {"exclude": ["silent"]}))


def test_a_creation_is_awaited_and_cancelled(kernel: sutazai.Kernel) -> None:
    @kernel.template(skills=["double"], about=PROBED, reply=True)
    def silent() -> Callable[[sutazai.Task, sutazai.Reply], None]:
        held: list[sutazai.Reply] = []
        return lambda _task, reply: held.append(reply)

    @kernel.template(skills=["double"], about=PROBED)
    def good() -> Doubler:
        return lambda number: 2 * number

    assert asyncio.run(made_and_cancelled(kernel))["agent"] == "good-1"
    assert [agent["card"]["name"] for agent in kernel.agents()] == ["good-1"]


def test_a_pool_grows_and_shrinks() -> None:
    with sutazai.Kernel(clock="virtual") as kernel:
        held: list[sutazai.Reply] = []

        @kernel.template(skills=["wait"], concurrency=1, reply=True)
        def waiter() -> Callable[[sutazai.Task, sutazai.Reply], None]:
            return lambda _task, reply: held.append(reply)

        pool = kernel.pools.add("waiters", "waiter", {"max": 2, "idle_ms": 1_000})
        assert (pool["target"], pool["starting"]) == (1, 1)

        def step(ms: int) -> sutazai.Pool:
            kernel.invoke("kernel.advance", ms=ms)
            return kernel.pools.list()[0]

        assert step(200)["agents"] == ["waiter-1"]
        calls = [kernel.submit("wait")]
        for _ in range(20):
            calls.append(kernel.submit("wait"))
            step(100)
        assert step(0)["agents"] == ["waiter-1", "waiter-2"]
        for reply in held:
            reply.send(1)
        held.clear()
        assert len(step(2_000)["agents"]) == 1
        kernel.pools.set("waiters", {"min": 2})
        assert len(step(200)["agents"]) == 2
        removing = kernel.begin("agent.pool_remove", name="waiters")
        kernel.invoke("kernel.advance", ms=10)
        assert removing.result() == {"removed": True}
        assert kernel.pools.list() == [] and kernel.agents() == []
        for call in calls:
            call.cancel()


def test_a_factory_is_a_plain_function_with_a_name(kernel: sutazai.Kernel) -> None:
    async def later() -> Doubler:
        return lambda number: number

    with pytest.raises(TypeError, match="a factory is a plain function"):
        kernel.template(skills=["s"])(later)
    with pytest.raises(TypeError, match="no name of its own"):
        kernel.template(skills=["s"])(lambda: lambda number: number)
    with pytest.raises(sutazai.Invalid):
        kernel.template(skills=[], name="nothing")(lambda: lambda number: number)
