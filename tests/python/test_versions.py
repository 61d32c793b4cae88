"""Versions of agents: one is in charge, others stand by."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import sutazai


def test_a_version_takes_over_and_goes_back() -> None:
    with sutazai.Kernel() as kernel:

        @kernel.agent(name="a", version="1")
        def one(_: object) -> int:
            return 1

        @kernel.agent(name="a", version="2", replace=True)
        async def two(_: object) -> int:
            await asyncio.sleep(0)
            return 2

        assert kernel.call("a") == 2
        (view,) = kernel.agents()
        assert view["card"]["version"] == "2" and view["standby"] == ["1"]
        kernel.switch_agent("a", "1")
        assert kernel.call("a") == 1
        kernel.retire_agent("a", "2", 0.1)
        with pytest.raises(sutazai.NotFound, match="no such version"):
            kernel.switch_agent("a", "2")
        with pytest.raises(sutazai.NotFound):
            kernel.retire_agent("a", "2")
        with pytest.raises(sutazai.AlreadyExists):
            kernel.agent(name="a", version="1", replace=True)(one)
        with pytest.raises(sutazai.AlreadyExists):
            kernel.agent(name="a", version="3")(one)


def test_a_checkpoint_puts_a_version_back() -> None:
    with sutazai.Kernel() as kernel:
        kernel.agent(name="a", version="1")(lambda _: "good")
        good = kernel.checkpoints.create("good")
        kernel.agent(name="a", version="2", replace=True)(lambda _: "bad")
        assert kernel.call("a") == "bad"
        kernel.checkpoints.restore(good["id"])
        assert kernel.call("a") == "good"


def test_the_policies_in_force_are_read_and_set_again() -> None:
    with sutazai.Kernel(clock="virtual") as kernel:
        assert kernel.isolation.policy is None
        kernel.degradation.set_policy({"features": {"x": {"reduced": "off"}}})
        policy = kernel.degradation.policy
        assert policy["features"] == {"x": {"reduced": "off"}}
        kernel.degradation.set_policy(policy)
        kernel.playbooks.set_policy(kernel.playbooks.policy)
        kernel.failsafe.set_policy(kernel.failsafe.policy)
        kernel.classification.set_policy(kernel.classification.policy)
        kernel.isolation.set_policy({})
        kernel.isolation.set_policy(kernel.isolation.policy or {})
        assert kernel.isolation.policy is not None


def test_terms_of_a_call() -> None:
    with sutazai.Kernel() as kernel:
        kernel.agent(name="a", skills=["s"], labels={"region": "eu"})(lambda _: "a")
        kernel.agent(name="b", skills=["s"], labels={"region": "us"})(lambda _: "b")
        terms: sutazai.Terms = {"labels": {"region": "us"}, "caller": "ada"}
        assert {kernel.call("s", terms=terms) for _ in range(5)} == {"b"}
        with pytest.raises(sutazai.SutazaiError, match="meets the call's terms") as raised:
            kernel.call("s", terms={"exclude": ["a", "b"]})
        assert raised.value.context["unfit"] == "a: excluded; b: excluded"
        misspelt: Any = {"label": {}}
        with pytest.raises(sutazai.Invalid, match='did you mean "labels"'):
            kernel.submit("s", terms=misspelt)
        assert kernel.ledger("b")["stats"]["calls"] == 5
