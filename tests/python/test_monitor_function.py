"""Monitors that are written in Python."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any

import pytest

import sutazai
from sutazai import Kernel


def test_what_it_measures_is_part_of_a_sample() -> None:
    waiting = ["a"]
    kernel = Kernel()
    kernel.add_monitor("queue", lambda: {"queue_length": len(waiting)})
    with pytest.raises(sutazai.AlreadyExists):
        kernel.add_monitor("queue", dict)
    with kernel:
        assert kernel.monitor.sample()["values"]["queue_length"] == 1.0
        waiting.append("b")
        assert kernel.monitor.sample()["values"]["queue_length"] == 2.0
        assert "queue" in kernel.monitor.status()["monitors"]
        assert kernel.monitor.series("queue_")[0]["name"] == "queue_length"
        assert kernel.monitor.remove("queue") and not kernel.monitor.remove("queue")
        assert "queue_length" not in kernel.monitor.sample()["values"]
    with pytest.raises(sutazai.NotRunning):
        kernel.add_monitor("late", dict)


def test_a_coroutine_function_measures_too() -> None:
    async def ask() -> dict[str, float]:
        await asyncio.sleep(0.01)
        return {"answers_total": 42}

    for given in (ask, lambda: ask()):
        with Kernel() as kernel:
            kernel.add_monitor("answers", given)
            assert kernel.monitor.sample()["values"]["answers_total"] == 42.0


def broken() -> dict[str, float]:
    raise OSError("unplugged")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (broken, "unplugged"),
        (lambda: [("a", 1.0)], "a mapping of series to numbers"),
        (lambda: {7: 1.0}, "must be a str"),
        (lambda: {"a": "much"}, "much"),
        (lambda: {"a\nb": 1.0}, "control characters"),
    ],
)
def test_what_fails_is_said_and_the_others_go_on(given: Any, said: str) -> None:
    with Kernel() as kernel:
        kernel.add_monitor("odd", given)
        kernel.add_monitor("fine", lambda: {"fine": 1.0})
        sample = kernel.monitor.sample()
        assert said in sample["failures"]["odd"] and sample["values"]["fine"] == 1.0


def test_one_that_hangs_keeps_nobody_waiting() -> None:
    go_on, asked = threading.Event(), threading.Event()

    def stuck() -> dict[str, float]:
        asked.set()
        go_on.wait()
        return {"stuck": 1.0}

    with Kernel() as kernel:
        kernel.add_monitor("stuck", stuck)
        kernel.add_monitor("fine", lambda: {"fine": 1.0})
        try:
            sample = kernel.monitor.sample()
            assert asked.is_set() and sample["away"] == ["stuck"] and sample["values"]["fine"] == 1.0
            [away] = kernel.monitor.status()["away"]
            assert away["monitor"] == "stuck" and away["seconds"] > 0
            assert kernel.monitor.sample()["values"]["fine"] == 1.0
            assert kernel.monitor.remove("stuck")
            kernel.add_monitor("stuck", lambda: {"new": 1.0})
            assert kernel.monitor.sample()["values"]["new"] == 1.0
        finally:
            go_on.set()


def test_one_that_takes_a_sample_is_refused() -> None:
    with Kernel() as kernel:
        kernel.add_monitor("nested", lambda: kernel.monitor.sample()["values"])
        assert "nested" in kernel.monitor.sample()["failures"]["nested"]
        assert "takes no samples itself" in kernel.monitor.sample()["failures"]["nested"]


def test_what_is_no_monitor_is_refused() -> None:
    kernel = Kernel()
    nothing: Any = 7
    with pytest.raises(TypeError, match="a monitor is a function"):
        kernel.add_monitor("seven", nothing)
    with pytest.raises(TypeError):
        kernel.add_monitor(nothing, dict)
    with pytest.raises(sutazai.Invalid):
        kernel.add_monitor("", dict)


def test_it_is_let_go_of() -> None:
    class Queue:
        def sample(self) -> dict[str, float]:
            return {"queue_length": 1}

    queue = Queue()
    gone = weakref.ref(queue)
    kernel = Kernel()
    kernel.add_monitor("queue", queue.sample)
    with kernel:
        kernel.monitor.sample()
    del queue
    gc.collect()
    assert gone() is None
