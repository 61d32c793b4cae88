"""How agents are chosen, why, the decisions made again, and what the ledgers have."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import sutazai
from sutazai import Kernel

NAMES = ["ada", "bob", "cleo"]


def answers(kernel: Kernel, *names: str) -> None:
    for name in names:
        kernel.agent(name=name, skills=["s"])(lambda _, name=name: name)


def calls(
    kernel: Kernel, number: int, terms: sutazai.Terms | None = None
) -> list[tuple[str, sutazai.Ticket]]:
    """Calls, one after the other, whose answers are scored: who answered, and the tickets."""
    made = []
    for _ in range(number):
        ticket = kernel.submit("s", terms=terms)
        who = ticket.wait()
        kernel.score(0.9 if who == "bob" else 0.2, call=ticket)
        made.append((who, ticket))
    return made


def chosen(log: sutazai.RouteLog, decisions: list[sutazai.RouteDecision | None]) -> list[str]:
    """Who was chosen, by the decisions that follow from a log."""
    asked = [it for it in log["log"] if it["call"] == "decide"]
    assert len(asked) == len(decisions)
    found = []
    for ask, decision in zip(asked, decisions, strict=True):
        assert decision is not None
        found.append(ask["arms"][decision["index"]]["key"])
    return found


# ---- decisions ----


@pytest.mark.parametrize(
    "policy",
    [
        sutazai.RoutePolicy(),
        sutazai.RoutePolicy(waiting_price=0, cost_price=0.1, max_pending=8),
        sutazai.RoutePolicy(strategy="round_robin"),
        sutazai.RoutePolicy(strategy="least_loaded"),
        sutazai.RoutePolicy(strategy="peak_ewma"),
        sutazai.RoutePolicy(strategy="weighted"),
        sutazai.RoutePolicy(strategy="sticky"),
    ],
)
def test_a_replay_makes_the_very_decisions_of_the_log(policy: sutazai.RoutePolicy) -> None:
    with Kernel() as kernel:
        answers(kernel, *NAMES)
        kernel.routing.set_policy(policy, seed=7, record=10_000)
        made = calls(kernel, 100, {"features": [0.5, 2.0], "affinity": "k"})
        log = kernel.routing.log()
        assert log["whole"] and log["seed"] == 7
        assert log["policy"].items() >= policy.items()
        explained = [kernel.routing.explain(ticket) for _, ticket in made]
        decisions = kernel.routing.replay(log)
    assert chosen(log, decisions) == [who for who, _ in made]
    for one, decision in zip(explained, decisions, strict=True):
        # An older one than `max_pending` is not explained any more.
        assert decision is not None
        if one is not None:
            assert one["number"] == decision["number"]
    # The log is plain data, and another kernel makes the same of it, to the byte.
    kept = json.loads(json.dumps(log))
    with Kernel(seed=99) as other:
        again = other.routing.replay(kept)
        assert json.dumps(again).encode() == json.dumps(decisions).encode()
        assert other.routing.log()["log"] == [], "its own router takes no notice"


def test_the_one_whose_answers_are_best_is_chosen() -> None:
    with Kernel() as kernel:
        answers(kernel, *NAMES)
        kernel.routing.set_policy({"waiting_price": 0}, seed=7)
        made = [who for who, _ in calls(kernel, 200)]
    assert made[100:].count("bob") > 80


def test_a_replay_shows_what_another_policy_would_have_done() -> None:
    with Kernel() as kernel:
        answers(kernel, *NAMES)
        kernel.routing.set_policy({}, seed=7, record=1_000)
        calls(kernel, 60)
        log = kernel.routing.log()
        turns = kernel.routing.replay(log, policy={"strategy": "round_robin"})
        assert {name: chosen(log, turns).count(name) for name in NAMES} == dict.fromkeys(NAMES, 20)
        assert kernel.routing.replay(log, seed=7) == kernel.routing.replay(log)


def test_a_log_has_what_came_first() -> None:
    with Kernel() as kernel:
        answers(kernel, *NAMES)
        assert kernel.routing.log()["log"] == [], "nothing is recorded unless it is said"
        kernel.routing.set_policy(record=5)
        made = calls(kernel, 10)
        log = kernel.routing.log()
        assert (len(log["log"]), log["whole"]) == (5, False)
        assert chosen(log, kernel.routing.replay(log)) == [who for who, _ in made[:2]]
        kernel.routing.set_policy({"strategy": "sticky"})
        after = kernel.routing.log()
        assert (after["seed"], after["log"]) == (log["seed"], [])


def test_a_decision_is_none_where_nobody_could_be_chosen(kernel: Kernel) -> None:
    log: sutazai.RouteLog = {
        "policy": {},
        "seed": 7,
        "log": [
            {"call": "decide", "now_ns": 0, "scope": "s", "arms": [{"key": "a"}]},
            {"call": "settled", "now_ns": 5, "number": 0, "ended": "succeeded"},
            {"call": "reward", "number": 0, "reward": 0.8},
            {"call": "decide", "now_ns": 9, "scope": "s", "arms": [{"key": "a", "available": False}]},
        ],
    }
    assert kernel.routing.replay(log) == [{"number": 0, "index": 0, "explored": False}, None]


def test_what_is_no_policy_or_log_is_refused(kernel: Kernel) -> None:
    routing = kernel.routing
    with pytest.raises(sutazai.Invalid) as raised:
        routing.set_policy({"waiting_price": -1})
    assert raised.value.context["field"] == "waiting_price"
    with pytest.raises(sutazai.Invalid, match="1,000,000 things"):
        routing.set_policy(record=1_000_001)
    misspelt: Any = {"strategie": "sticky"}
    with pytest.raises(sutazai.RequestInvalid, match="strategie"):
        routing.set_policy(misspelt)
    odd: Any = "adaptive"
    with pytest.raises(TypeError, match="policy must be a mapping"):
        routing.set_policy(odd)
    with pytest.raises(TypeError, match="log must be a mapping"):
        routing.replay(odd)
    guess: Any = {"policy": {}, "seed": 7, "log": [{"call": "guess"}]}
    with pytest.raises(sutazai.RequestInvalid, match="guess"):
        routing.replay(guess)
    empty: Any = {}
    with pytest.raises(sutazai.RequestInvalid):
        routing.replay(empty)
    with pytest.raises(sutazai.Invalid):
        routing.replay({"policy": {}, "seed": 7, "log": []}, policy={"max_pending": 0})


# ---- why ----


def test_a_choice_is_explained() -> None:
    with Kernel() as kernel:
        answers(kernel, *NAMES)
        for who, ticket in calls(kernel, 20):
            explained = kernel.routing.explain(ticket)
            assert explained is not None and ticket.id is not None
            assert explained == kernel.routing.explain(ticket.id)
            assert (explained["chosen"], explained["scope"]) == (who, "s")
            assert sorted(arm["arm"] for arm in explained["arms"]) == NAMES
            if explained["why"] == "best":
                values = {arm["arm"]: arm["value"] for arm in explained["arms"]}
                assert values[who] == max(values.values())


def test_there_is_nothing_to_explain_where_one_agent_has_the_skill(kernel: Kernel) -> None:
    answers(kernel, "ada")
    ticket = kernel.submit("s")
    ticket.wait()
    assert kernel.routing.explain(ticket) is None


def test_a_call_that_nobody_remembers_is_not_explained(kernel: Kernel) -> None:
    with pytest.raises(sutazai.NotFound, match="no answer of this call"):
        kernel.routing.explain(7)
    with pytest.raises(TypeError, match="no call's"):
        kernel.routing.explain(kernel.begin("kernel.status"))


# ---- scores and ledgers ----


def test_a_ledger_has_the_figures_of_each_skill(kernel: Kernel) -> None:
    @kernel.agent(name="a", skills=["read", "write"])
    def agent(given: object, context: sutazai.Context) -> object:
        if given == "fail":
            raise sutazai.AgentError("no", class_="persistent")
        return given

    fresh = kernel.ledger("a")
    assert (fresh["stats"]["calls"], fresh["stats"]["latency"]) == (0, None)
    kernel.call("read", 1)
    ticket = kernel.submit("write", 2)
    ticket.wait()
    with pytest.raises(sutazai.AgentError):
        kernel.call("write", "fail")
    kernel.score(0.25, call=ticket)
    kernel.score(0.75, agent="a", skill="read")
    ledger = kernel.ledger("a")
    assert ledger["name"] == "a"
    assert ledger["stats"]["failures"] == {"transient": 0, "persistent": 1, "critical": 0}
    assert ledger["stats"]["quality"] == {"scores": 2, "mean": 0.5}
    read, write = ledger["skills"]
    assert (read["skill"], read["stats"]["calls"]) == ("read", 1)
    assert (write["skill"], write["stats"]["calls"]) == ("write", 2)
    assert write["stats"]["quality"] == {"scores": 1, "mean": 0.25}
    assert write["stats"]["recent"]["failed"] == pytest.approx(0.5, abs=0.01)
    latency = write["stats"]["latency"]
    assert latency is not None and latency["p50_ns"] <= latency["max_ns"]
    assert ledger["stats"] == kernel.agent_view("a")["stats"]


def test_scores_that_cannot_be_are_refused(kernel: Kernel) -> None:
    answers(kernel, "ada")
    with pytest.raises(sutazai.NotFound, match="has had no call yet"):
        kernel.score(1, agent="ada")
    ticket = kernel.submit("s")
    ticket.wait()
    for score in (-0.1, 1.1):
        with pytest.raises(sutazai.Invalid, match="from 0 to 1"):
            kernel.score(score, call=ticket)
        with pytest.raises(sutazai.Invalid, match="from 0 to 1"):
            kernel.score(score, agent="ada")
    kernel.score(1, call=ticket)
    with pytest.raises(sutazai.AlreadyExists):
        kernel.score(1, call=ticket)
    with pytest.raises(sutazai.NotFound):
        kernel.score(1, call=7_000)
    with pytest.raises(sutazai.NotFound):
        kernel.score(1, agent="bob")
    with pytest.raises(sutazai.NotFound, match="does not have the skill"):
        kernel.score(1, agent="ada", skill="cook")
    with pytest.raises(TypeError, match="for a call or for an agent"):
        kernel.score(1)
    with pytest.raises(TypeError, match="for a call or for an agent"):
        kernel.score(1, call=ticket, agent="ada")
    with pytest.raises(TypeError, match="skill goes with agent"):
        kernel.score(1, call=ticket, skill="s")
    with pytest.raises(sutazai.NotFound):
        kernel.ledger("bob")


def test_all_of_it_answers_at_once_also_on_a_loop() -> None:
    async def main() -> None:
        async with Kernel() as kernel:
            answers(kernel, *NAMES)
            kernel.routing.set_policy({}, seed=7, record=100)
            ticket = kernel.submit("s")
            who = await ticket
            kernel.score(1, call=ticket)
            explained = kernel.routing.explain(ticket)
            assert explained is not None and explained["chosen"] == who
            log = kernel.routing.log()
            assert chosen(log, kernel.routing.replay(log)) == [who]
            quality = kernel.ledger(who)["stats"]["quality"]
            assert quality == {"scores": 1, "mean": 1.0}

    asyncio.run(main())
