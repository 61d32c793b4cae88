"""Calls within calls: never in a circle, never without end."""

from __future__ import annotations

import asyncio

import pytest

import sutazai


def test_a_circle_of_plain_functions_is_found() -> None:
    with sutazai.Kernel() as kernel:

        @kernel.agent
        def a(value: object) -> object:
            return kernel.call("b", value)

        @kernel.agent
        def b(value: object) -> object:
            return kernel.call("a", value)

        with pytest.raises(sutazai.SutazaiError, match="asked for what it is just") as raised:
            kernel.call("a", 1)
        assert raised.value.context["path"] == "a.a → b.b"


def test_a_circle_of_coroutines_is_found() -> None:
    with sutazai.Kernel() as kernel:

        @kernel.agent
        async def a(value: object) -> object:
            await asyncio.sleep(0)
            return await kernel.acall("b", value)

        @kernel.agent
        async def b(value: object) -> object:
            return await asyncio.gather(kernel.acall("a", value))

        with pytest.raises(sutazai.SutazaiError, match="asked for what it is just"):
            kernel.call("a", 1)


def test_deeper_and_deeper_ends_at_the_limit() -> None:
    with sutazai.Kernel(call_depth=4) as kernel:

        @kernel.agent
        async def down(value: int) -> int:
            return value if value == 0 else await kernel.acall("down", value - 1)

        assert kernel.call("down", 3) == 0
        with pytest.raises(sutazai.SutazaiError, match="deeper than the limits"):
            kernel.call("down", 4)
        # What one call was nested in is not what the next one is.
        assert kernel.call("down", 3) == 0
