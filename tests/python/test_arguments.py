"""Arguments of the wrong type or value: an error names the argument, what it wants and what it got."""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sutazai import Guard, Invalid, Kernel, Reply, Task

SECONDS = "must be a number of seconds or a datetime.timedelta, not str '1s'"


def refusal(do: Callable[[], object], kind: type[Exception] = TypeError) -> str:
    with pytest.raises(kind) as caught:
        do()
    # Not of a class below it: that would be another's words.
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"timeout": "1s"}, TypeError, f"timeout {SECONDS}"),
        ({"timeout": True}, TypeError, f"timeout {SECONDS[:-8]}bool True"),
        ({"timeout": -1.0}, ValueError, "timeout must be 0 seconds or more, not -1.0"),
        ({"timeout": math.nan}, ValueError, "timeout must be 0 seconds or more, not nan"),
        ({"clock": "sundial"}, ValueError, "clock must be one of 'real', 'virtual', not 'sundial'"),
        ({"clock": 1}, TypeError, "clock must be a str, not int 1"),
        ({"calls": "many"}, TypeError, "calls must be an int, not str 'many'"),
        ({"calls": 0}, ValueError, "calls must be from 1 to 2**64 - 1, not 0"),
        ({"pool": 1.5}, TypeError, "pool must be an int, not float 1.5"),
        ({"queue": True}, TypeError, "queue must be an int, not bool True"),
        ({"seed": -1}, ValueError, "seed must be from 0 to 2**64 - 1, not -1"),
        ({"seed": "x" * 99}, TypeError, f"seed must be an int, not str '{'x' * 59}…"),
        ({"log": 3}, TypeError, "log must be a str, not int 3"),
        ({"log_terminal": "no"}, TypeError, "log_terminal must be a bool, not str 'no'"),
        ({"log_file": 3}, TypeError, "log_file must be a str or an os.PathLike, not int 3"),
        ({"data_dir": 3}, TypeError, "data_dir must be a str or an os.PathLike, not int 3"),
        ({"manifest": []}, TypeError, "manifest must be a str or an os.PathLike, not list []"),
    ],
)
def test_of_the_kernel(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    assert refusal(lambda: Kernel(**arguments), kind) == message


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"timeout": "1s"}, TypeError, f"timeout {SECONDS}"),
        ({"timeout": timedelta(seconds=-1)}, ValueError, "timeout must be 0 seconds or more"),
        ({"concurrency": "x"}, TypeError, "concurrency must be an int, not str 'x'"),
        ({"concurrency": -1}, ValueError, "concurrency must be from 0 to"),
        ({"skills": "review"}, TypeError, "skills must be a sequence of str, not str 'review'"),
        ({"skills": [1]}, TypeError, "skills must be a sequence of str, not list [1]"),
        ({"labels": {"a": 1}}, TypeError, "labels must be a mapping of str to str, not dict"),
        ({"labels": 3}, TypeError, "labels must be a mapping of str to str, not int 3"),
        ({"name": 3}, TypeError, "name must be a str, not int 3"),
        ({"inline": "yes"}, TypeError, "inline must be a bool, not str 'yes'"),
    ],
)
def test_of_an_agent(
    kernel: Kernel, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    def work(text: str) -> str:
        return text

    assert refusal(lambda: kernel.agent(**arguments)(work), kind).startswith(message)
    assert kernel.agents() == []


def test_of_methods(kernel: Kernel) -> None:
    wrong: Any = "1s"
    number: Any = 3
    kernel.add_echo_agent()
    for call in (kernel.call, kernel.submit):
        assert refusal(lambda: call("echo", timeout=wrong)) == f"timeout {SECONDS}"
        assert refusal(lambda: call(number)) == "skill must be a str, not int 3"
        assert refusal(lambda: call("echo", agent=number)) == "agent must be a str, not int 3"
        assert refusal(lambda: call("echo", token=number)) == "token must be a str, not int 3"
        assert "not -1" in refusal(lambda: call("echo", timeout=-1), ValueError)
    ticket = kernel.submit("echo")
    assert refusal(lambda: ticket.wait(wrong)) == f"timeout {SECONDS}"
    assert refusal(lambda: kernel.subscribe("a").next(wrong)) == f"timeout {SECONDS}"
    assert refusal(lambda: kernel.publish("a", wait=wrong)) == f"wait {SECONDS}"
    assert refusal(lambda: kernel.remove_agent("echo", wrong)) == f"grace {SECONDS}"
    assert refusal(lambda: kernel.advance(wrong)) == f"seconds {SECONDS}"
    assert refusal(lambda: kernel.advance(math.inf), ValueError).startswith("seconds must be finite")
    assert refusal(lambda: kernel.cancel(-1), ValueError).startswith("call must be from 0")
    assert refusal(lambda: kernel.begin(number)) == "operation must be a str, not int 3"
    assert refusal(lambda: kernel.publish(number)) == "subject must be a str, not int 3"
    assert refusal(lambda: kernel.subscribe(number)) == "pattern must be a str, not int 3"
    assert "not str '9'" in refusal(lambda: kernel.subscribe("a", capacity="9"))  # type: ignore[arg-type]
    assert refusal(lambda: kernel.get(number)) == "name must be a str, not int 3"
    needs: Any = "ab"
    assert "sequence of str" in refusal(lambda: kernel.provide("x", object, needs=needs))
    assert "sequence of str" in refusal(lambda: kernel.component("x", needs=needs)(Nothing))
    within: Any = "1s"
    declare = kernel.component("x", start_within=within)
    assert refusal(lambda: declare(Nothing)) == f"start_within {SECONDS}"


def test_a_bool_is_no_duration(kernel: Kernel) -> None:
    message = f"{SECONDS[:-8]}bool True"
    stage = kernel.failsafe.stage("s", within=True)
    assert refusal(lambda: stage(lambda _: None)) == f"within {message}"
    quarantine = kernel.isolation.quarantine
    assert refusal(lambda: quarantine("x", True)) == f"duration {message}"
    add = kernel.supervision.add
    assert refusal(lambda: add("t", [], period=True)) == f"period {message}"
    assert refusal(lambda: Guard("g", timeout=True)) == f"timeout {message}"


@pytest.mark.parametrize("wrong", [0, -1, 256, 10**30])
def test_a_priority_has_its_bounds(kernel: Kernel, wrong: int) -> None:
    said = refusal(lambda: kernel.call("echo", priority=wrong), ValueError)
    assert said == f"priority must be from 1 to 255, not {wrong}"


@pytest.mark.parametrize("many", [2**32, 2**64, 10**30, 10**400, -(10**400)])
def test_a_number_of_a_policy_has_its_bounds(many: int) -> None:
    with pytest.raises(Invalid, match="is out of range.*it must be from 0 to 4294967295"):
        Guard("g", bulkhead={"concurrency": many})
    with pytest.raises(ValueError, match="int does not fit 64 bits|must be above 0"):
        Guard("g", hedge={"quantile": 10**400})


class Nothing:
    def start(self) -> None: ...
    def stop(self) -> None: ...


def test_a_wrong_grace_stops_nothing(kernel: Kernel) -> None:
    wrong: Any = "1s"
    assert refusal(lambda: kernel.stop(wrong)) == f"grace {SECONDS}"
    kernel.add_echo_agent()
    assert kernel.phase == "running"
    assert kernel.call("echo", 1) == 1


def test_every_duration_may_be_a_timedelta() -> None:
    with Kernel(clock="virtual", timeout=timedelta(seconds=3)) as kernel:

        @kernel.agent(reply=True, inline=True)
        def never(task: Task, reply: Reply) -> None:
            left.append(task.remaining)

        @kernel.agent(reply=True, inline=True, timeout=timedelta(milliseconds=1500))
        def sooner(task: Task, reply: Reply) -> None:
            left.append(task.remaining)

        left: list[float | None] = []
        for skill in ("never", "sooner"):
            kernel.submit(skill).detach()
            kernel.submit(skill, timeout=timedelta(days=1, microseconds=5)).detach()
            kernel.submit(skill, timeout=math.inf).detach()
        assert left == [3.0, 86400.000005, None, 1.5, 86400.000005, None]
        kernel.advance(timedelta(seconds=2))
        assert kernel.subscribe("a").next(timedelta(0)) is None
        kernel.remove_agent("never", timedelta(0))
        kernel.stop(timedelta(0))


def test_no_timeout_at_all() -> None:
    with Kernel(timeout=math.inf) as kernel:
        kernel.publish("a", wait=timedelta(seconds=1))

        @kernel.agent(inline=True, reply=True)
        def tell(task: Task, reply: Reply) -> None:
            reply.send(task.remaining)

        assert kernel.call("tell") is None
        assert kernel.call("tell", timeout=60) <= 60


def test_durations_of_recovery_may_be_endless_or_a_timedelta() -> None:
    guard = Guard("g", timeout=math.inf, attempt_timeout=timedelta(seconds=2))
    assert "timeout_ms" not in guard.policy
    assert guard.policy["attempt_timeout_ms"] == 2000

    def do(_: object) -> int:
        return 1

    def undo(_: object, __: object) -> None:
        pass

    with Kernel() as kernel:
        kernel.saga("a", [(do, undo)], deadline=timedelta(seconds=1))
        kernel.saga("b", [(do, undo)], deadline=math.inf)
        with pytest.raises(ValueError, match="deadline"):
            kernel.saga("c", [], deadline=-1)
        kernel.supervision.add("t", [], period=math.inf)
