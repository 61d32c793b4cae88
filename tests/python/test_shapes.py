"""The typed dicts of the package say what the operations' schemas say."""

from __future__ import annotations

from typing import Any, NotRequired, get_args, get_origin, get_type_hints

import pytest
import sutazai
from sutazai import Kernel

# By operation and side: the typed dict of what it takes or gives, and those of the definitions in it.
REQUESTS: list[tuple[str, str, type]] = [
    ("agent.add_process", "ProcessSpec", sutazai.ProcessSpec),
    ("agent.add_process", "RestartPolicy", sutazai.ProcessRestart),
    ("agent.add_process", "AgentCard", sutazai.AgentCard),
    ("agent.add_process", "SkillCard", sutazai.SkillCard),
    ("agent.add_mcp", "McpSpec", sutazai.McpSpec),
    ("agent.add_mcp", "McpHttp", sutazai.McpHttp),
    ("agent.add_a2a", "A2aSpec", sutazai.A2aSpec),
    ("agent.add_openai", "OpenAiSpec", sutazai.OpenAiSpec),
    ("agent.add_openai", "FromEnv", sutazai.SecretFromEnv),
    ("agent.route_set_policy", "RoutePolicy", sutazai.RoutePolicy),
    ("agent.route_replay", "OwnedArm", sutazai.RouteArm),
]
ANSWERS: list[tuple[str, str | None, type]] = [
    ("agent.add_mcp", None, sutazai.AddedMcp),
    ("agent.mcp_config", None, sutazai.McpConfig),
    ("agent.mcp_config", "Listed", sutazai.McpConfigServer),
    ("agent.ledger", None, sutazai.AgentLedger),
    ("agent.ledger", "AgentStats", sutazai.AgentStats),
    ("agent.ledger", "FailureStats", sutazai.FailureStats),
    ("agent.ledger", "LatencyStats", sutazai.LatencyStats),
    ("agent.ledger", "QualityStats", sutazai.QualityStats),
    ("agent.ledger", "RecentStats", sutazai.RecentStats),
    ("agent.ledger", "SkillStats", sutazai.SkillStats),
    ("agent.ledger", "Usage", sutazai.Usage),
    ("agent.get", None, sutazai.AgentView),
    ("agent.get", "LivenessView", sutazai.Liveness),
    ("agent.route_log", None, sutazai.RouteLog),
    ("agent.route_replay", "Decision", sutazai.RouteDecision),
]
INPUTS = {
    "decide": sutazai.RouteDecide,
    "settled": sutazai.RouteSettled,
    "reward": sutazai.RouteReward,
}


def schema(kernel: Kernel, operation: str, side: str, definition: str | None) -> dict[str, Any]:
    found: dict[str, Any] = kernel.invoke("kernel.schema", operation=operation)[side]
    return found if definition is None else found["$defs"][definition]


def keys(typed: Any) -> set[str]:
    return set(get_type_hints(typed))


def required(typed: Any) -> set[str]:
    # `__required_keys__` takes all of a module whose annotations are texts for required.
    hints = get_type_hints(typed, include_extras=True)
    optional = {key for key, hint in hints.items() if get_origin(hint) is NotRequired}
    return set(hints) - optional if typed.__total__ else set()


@pytest.mark.parametrize(("operation", "definition", "typed"), REQUESTS)
def test_of_requests(kernel: Kernel, operation: str, definition: str, typed: Any) -> None:
    given = schema(kernel, operation, "request", definition)
    assert keys(typed) == set(given["properties"])
    assert required(typed) == set(given.get("required", []))


@pytest.mark.parametrize(("operation", "definition", "typed"), ANSWERS)
def test_of_answers(
    kernel: Kernel, operation: str, definition: str | None, typed: Any
) -> None:
    given = schema(kernel, operation, "answer", definition)
    assert keys(typed) == set(given["properties"])
    if typed is not sutazai.RouteLog:  # one that is replayed need not say whether it is whole
        assert set(given.get("required", [])) <= required(typed)


@pytest.mark.parametrize("call", INPUTS)
def test_of_what_a_router_is_told(kernel: Kernel, call: str) -> None:
    told = schema(kernel, "agent.route_replay", "request", "Input")["oneOf"]
    [given] = [one for one in told if one["properties"]["call"]["const"] == call]
    typed: Any = INPUTS[call]
    assert keys(typed) == set(given["properties"])
    assert required(typed) == set(given["required"])


def test_of_the_states_of_an_agent(kernel: Kernel) -> None:
    states = schema(kernel, "agent.get", "answer", "AgentState")["oneOf"]
    named = get_args(get_type_hints(sutazai.AgentView)["state"])
    assert [state["const"] for state in states] == list(named)


def test_of_an_explanation() -> None:
    with Kernel() as kernel:
        for name in "ada", "bob":
            kernel.agent(name=name, skills=["s"])(lambda _: None)
        ticket = kernel.submit("s")
        ticket.wait()
        explained = kernel.routing.explain(ticket)
    assert explained is not None
    assert explained.keys() == keys(sutazai.RouteExplanation)
    assert all(arm.keys() == keys(sutazai.RouteScore) for arm in explained["arms"])
