"""Sagas whose steps are Python functions."""

from __future__ import annotations

import gc
import subprocess
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sutazai
from sutazai import Kernel, SagaContext, SagaStep

Run = Callable[[str], "subprocess.CompletedProcess[str]"]


def test_steps_get_what_those_before_gave(kernel: Kernel) -> None:
    def flight(ctx: SagaContext) -> dict[str, str]:
        return {"seat": f"12A to {ctx.input['to']}"}

    def hotel(ctx: SagaContext) -> list[object]:
        assert (ctx.name, ctx.step, ctx.attempt) == ("trip", "hotel", 1)
        assert ctx.key == f"{ctx.saga}/hotel/do"
        return [ctx.gave["flight"]["seat"], ctx.input["nights"]]

    kernel.saga("trip", [(flight, None), SagaStep(hotel)])
    assert kernel.run_saga("trip", {"to": "Ghent", "nights": 2}) == ["12A to Ghent", 2]


def test_what_was_done_is_undone_the_last_first(kernel: Kernel) -> None:
    calls: list[object] = []

    def undo(ctx: SagaContext, gave: Any) -> None:
        calls.append((ctx.step, gave))

    def fails(_: SagaContext) -> None:
        raise ValueError("no room left")

    steps = [
        SagaStep(lambda ctx: 1, undo, name="a"),
        SagaStep(lambda ctx: 2, undo, name="b", idempotent=True),
        SagaStep(fails, undo, name="c"),
    ]
    kernel.saga("s", steps)
    with pytest.raises(sutazai.SagaUndone, match="undone") as caught:
        kernel.run_saga("s")
    assert any("the step raised ValueError: no room left" in cause for cause in caught.value.causes)
    assert calls == [("c", None), ("b", 2), ("a", 1)]
    calls.clear()
    kernel.saga("t", [steps[0], SagaStep(fails, undo, name="c", atomic=True)])
    with pytest.raises(sutazai.RecoveryError):
        kernel.run_saga("t")
    assert calls == [("a", 1)]


def test_a_stuck_saga_is_seen_to(kernel: Kernel) -> None:
    broken = [True]

    def undo(_: SagaContext, gave: object) -> None:
        if broken[0]:
            raise RuntimeError("the back office is closed")

    kernel.saga("s", [(lambda_named("a"), undo), (failing, None)])
    with pytest.raises(sutazai.SagaStuck) as caught:
        kernel.run_saga("s")
    assert caught.value.class_ == "critical"
    (stuck,) = kernel.invoke("recovery.saga_list", state="stuck")["sagas"]
    broken[0] = False
    assert kernel.invoke("recovery.saga_retry", saga=stuck["id"])["state"] == "undone"


def test_transient_failures_are_tried_again(kernel: Kernel) -> None:
    tries: list[str] = []

    def flaky(ctx: SagaContext) -> int:
        tries.append(ctx.key)
        if ctx.attempt < 3:
            raise sutazai.AgentError("try again", class_="transient")
        return ctx.attempt

    kernel.saga("s", [SagaStep(flaky, retry={"attempts": 3, "base_ms": 1, "max_ms": 1})])
    assert kernel.run_saga("s") == 3
    assert len(set(tries)) == 1


async def _awaited() -> None:
    async with Kernel() as kernel:
        kernel.saga("s", [(echo, None)])
        assert await kernel.arun_saga("s", [1, 2]) == [1, 2]


def test_a_saga_is_awaited() -> None:
    import asyncio

    asyncio.run(_awaited())


def test_mistakes_are_told(kernel: Kernel) -> None:
    async def coroutine(_: SagaContext) -> None: ...

    def generator(_: SagaContext) -> Iterator[None]:
        yield

    with pytest.raises(TypeError, match="a step is a plain function, not a generator function"):
        kernel.saga("s", [(echo, generator)])
    for bad in ([(coroutine, None)], [(1, None)], [(lambda _: None, None)], [echo], [(echo,)]):
        with pytest.raises(TypeError):
            kernel.saga("s", bad)  # type: ignore[arg-type]
    with pytest.raises(sutazai.Invalid):
        kernel.saga("s", [])
    with pytest.raises(sutazai.Invalid):
        kernel.saga("s", [SagaStep(echo, retry={"attempts": 0})])
    with pytest.raises(sutazai.NotFound):
        kernel.run_saga("s")
    kernel.saga("s", [(lambda_named("set"), None)])
    with pytest.raises(sutazai.AlreadyExists):
        kernel.saga("s", [(echo, None)])
    kernel.saga("bad", [SagaStep(lambda _: {1, 2}, name="a")])
    with pytest.raises(sutazai.SagaUndone) as caught:
        kernel.run_saga("bad")
    assert "no JSON form" in " ".join(caught.value.causes)


def test_a_saga_goes_on_after_its_process_was_killed(tmp_path: Path, run_python: Run) -> None:
    program = f"""
        import os, signal, sys
        from sutazai import Kernel, SagaStep
        ledger = {str(tmp_path / "ledger")!r}

        def write(line):
            with open(ledger, "a") as file:
                print(line, file=file)

        def first(ctx):
            write("do first")

        def second(ctx):
            write("do second")
            if "second" not in open({str(tmp_path / "mode")!r}).read():
                os.kill(os.getpid(), signal.SIGKILL)

        def undo(ctx, gave):
            write(f"undo {{ctx.step}} {{gave is None}}")

        kernel = Kernel({str(tmp_path / "data")!r})
        kernel.saga("s", [(first, undo), (second, undo)])
        with kernel:
            sagas = kernel.invoke("recovery.saga_list")["sagas"]
            if not sagas:
                kernel.run_saga("s")
            print(kernel.invoke("recovery.saga_wait", saga=sagas[0]["id"])["state"])
    """
    (tmp_path / "mode").write_text("first")
    assert run_python(program).returncode == -9
    (tmp_path / "mode").write_text("second")
    again = run_python(program)
    assert (again.stdout, again.stderr) == ("undone\n", "")
    lines = (tmp_path / "ledger").read_text().splitlines()
    assert lines == ["do first", "do second", "undo second True", "undo first True"]


def test_what_the_steps_hold_is_let_go_of() -> None:
    class Held: ...

    held = Held()
    gone = weakref.ref(held)

    def step(_: SagaContext, held: object = held) -> bool:
        return held is not None

    kernel = Kernel().start()
    kernel.saga("s", [(step, None)])
    assert kernel.run_saga("s") is True
    kernel.stop()
    del held, step
    gc.collect()
    assert gone() is None


def echo(ctx: SagaContext) -> Any:
    return ctx.input


def failing(_: SagaContext) -> None:
    raise ValueError("on purpose")


def lambda_named(name: str) -> Any:
    def function(_: SagaContext) -> None: ...

    function.__name__ = name
    return function
