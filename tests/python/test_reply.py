"""What agents say with their answers."""

from __future__ import annotations

import pytest

import sutazai


def test_what_a_call_took_is_in_the_ledger() -> None:
    with sutazai.Kernel() as kernel:

        @kernel.agent(cost=2.0)
        def cheap(number: int, context: sutazai.Context) -> int:
            context.used(cost=0.9)
            context.used(input_tokens=10, output_tokens=number, cost=0.25)
            return number

        @kernel.agent(reply=True, cost=0.5)
        def later(task: sutazai.Task, reply: sutazai.Reply) -> None:
            reply.used(cost=3)
            reply.send(None)
            with pytest.raises(sutazai.TooLate):
                reply.used(cost=1)

        @kernel.agent
        def wrong(_: object, context: sutazai.Context) -> None:
            context.used(cost=-1.0)

        with pytest.raises(sutazai.SutazaiError):
            kernel.call("cheap", 1, terms={"max_cost": 1.0})
        assert [kernel.call("cheap", number) for number in (3, 4)] == [3, 4]
        assert kernel.call("cheap", 5, terms={"max_cost": 1.0}) == 5
        kernel.call("later")
        totals = kernel.agent_view("cheap")["stats"]["usage"]
        assert (totals["input_tokens"], totals["output_tokens"], totals["cost"]) == (30, 12, 0.75)
        assert kernel.agent_view("later")["stats"]["usage"]["cost"] == 3.0
        with pytest.raises(sutazai.SutazaiError, match="a cost is a number from 0"):
            kernel.call("wrong")
