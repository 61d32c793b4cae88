"""Agents' lives: watched, and supervised."""

from __future__ import annotations

from typing import Any

import pytest
import sutazai


def advance(kernel: sutazai.Kernel, seconds: float) -> None:
    kernel.begin("kernel.advance", ms=int(seconds * 1000)).result()


def test_an_agent_says_whether_it_lives() -> None:
    said: list[object] = [None]

    def beat() -> object:
        if isinstance(said[0], Exception):
            raise said[0]
        return said[0]

    with sutazai.Kernel(clock="virtual") as kernel:
        kernel.agent(name="echo", beat=beat)(lambda given: given)
        advance(kernel, 10)
        assert kernel.agent_view("echo")["liveness"]["state"] == "alive"
        said[0] = False
        advance(kernel, 10)
        found = kernel.agent_view("echo")
        assert (found["state"], found["liveness"]["state"]) == ("unreachable", "unreachable")
        said[0] = True
        advance(kernel, 10)
        assert kernel.agent_view("echo")["state"] == "ready"
        said[0] = RuntimeError("no sign of life")
        advance(kernel, 60)
        found = kernel.agent_view("echo")
        assert (found["state"], found["liveness"]["state"]) == ("unreachable", "dead")


def test_a_coroutines_beat_is_a_plain_function() -> None:
    with sutazai.Kernel(clock="virtual") as kernel:

        async def work(given: object) -> object:
            return given

        async def beat() -> bool:
            return True

        with pytest.raises(TypeError, match="plain function"):
            kernel.agent(beat=beat)(work)
        asked: list[int] = []
        kernel.agent(beat=lambda: asked.append(1))(work)
        advance(kernel, 20)
        assert len(asked) >= 2
        assert kernel.agent_view("work")["liveness"]["state"] == "alive"


def test_the_host_says_how_an_agent_is_watched() -> None:
    with sutazai.Kernel(clock="virtual") as kernel:
        kernel.add_echo_agent()
        assert "liveness" not in kernel.agent_view("echo")
        policy: sutazai.LivenessPolicy = {"interval_ms": 1000, "busy_pause_ms": None}
        kernel.set_liveness("echo", policy)
        liveness: sutazai.Liveness = kernel.agent_view("echo")["liveness"]
        assert (liveness["state"], liveness["policy"]["interval_ms"]) == ("alive", 1000)
        kernel.set_liveness("echo", watch=False)
        assert "liveness" not in kernel.agent_view("echo")
        with pytest.raises(sutazai.NotFound):
            kernel.set_liveness("ecko")
        with pytest.raises(sutazai.Invalid):
            kernel.set_liveness("echo", {"slow_phi": 9})


def test_a_factory_makes_the_agent_for_each_life() -> None:
    lives: list[int] = []
    silent: list[bool] = []

    def beat() -> None:
        if silent:
            raise RuntimeError

    kernel = sutazai.Kernel(clock="virtual")

    @kernel.template(skills=["count", "number"], beat=beat)
    def counter() -> Any:
        lives.append(len(lives))
        number = len(lives)
        return lambda given: number

    with kernel:
        supervision: sutazai.AgentSupervision = {"intensity": 2, "backoff": None}
        template = {"name": "counter", "agent": "count"}
        ticket = kernel.begin("agent.supervise", template=template, supervision=supervision)
        advance(kernel, 0)
        assert ticket.result() == {"agent": "count"}
        found = kernel.agent_view("count")
        assert found["supervised"] == "agents>count>life"
        assert (found["card"]["skills"], len(lives)) == (["count", "number"], 1)
        silent.append(True)
        advance(kernel, 20)
        silent.clear()
        advance(kernel, 10)
        found = kernel.agent_view("count")
        assert (found["state"], found["restarts"], len(lives)) == ("ready", 1, 2)
        answer = kernel.submit("number")
        advance(kernel, 0)
        assert answer.result() == 2
        assert found["template"] == "counter"
        ticket = kernel.begin("agent.supervise", template=template)
        advance(kernel, 0)
        with pytest.raises(sutazai.AlreadyExists):
            ticket.result()


def test_what_a_factory_raises_is_told() -> None:
    with sutazai.Kernel() as kernel:

        @kernel.template(skills=["broken"])
        def broken() -> Any:
            raise FileNotFoundError("no model")

        with pytest.raises(sutazai.SutazaiError, match="no model"):
            kernel.supervise_agent("broken")

        @kernel.template(skills=["odd"])
        def odd() -> Any:
            return 7

        with pytest.raises(sutazai.SutazaiError):
            kernel.supervise_agent("odd")
        with pytest.raises(sutazai.NotFound, match="brokn"):
            kernel.supervise_agent("brokn")
        with pytest.raises(sutazai.Invalid):
            kernel.supervise_agent()
        with pytest.raises(TypeError, match="template"):
            kernel.supervise_agent(name="somebody")
        assert kernel.agents() == []


def test_a_process_is_supervised() -> None:
    script = (
        "import json,os,sys\n"
        "def say(**m): print(json.dumps({'v':1,**m}),flush=True)\n"
        "say(type='ready')\n"
        "for line in sys.stdin:\n"
        "    t=json.loads(line)\n"
        "    if t['type']=='task' and t['input']=='exit': os._exit(3)\n"
        "    if t['type']=='task': say(type='result',id=t['id'],output=os.getpid())\n"
        "    elif t['type']=='stop': break\n"
    )
    with sutazai.Kernel() as kernel:
        name = kernel.supervise_agent(
            process={"command": ["python3", "-c", script]},
            card={"name": "pid", "skills": ["pid"]},
            supervision={"backoff": {"first_ms": 1}},
        )
        before = kernel.call(name)
        with pytest.raises(sutazai.SutazaiError) as raised:
            kernel.call(name, "exit")
        assert raised.value.name == "agent.exited"
        # Whoever comes between two lives waits for the next.
        assert kernel.call(name, timeout=60) != before
        assert kernel.agent_view(name)["restarts"] == 1
