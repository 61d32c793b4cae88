"""The conformance cases (`tests/conformance`): this host's runner."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sutazai
from sutazai import AgentError, Kernel, Reply, SutazaiError, Task, Ticket

CASES = Path(__file__).parent.parent / "conformance"
# Longest wait for an answer in real time, in seconds.
PATIENCE = 30.0


def cases() -> Iterator[Any]:
    for file in sorted(CASES.glob("*.json")):
        room = json.loads(file.read_text())
        for case in room["cases"]:
            yield pytest.param(case, id=f"{room['room']}: {case['name']}")


def add_agent(kernel: Kernel, kind: str, kept: list[Reply]) -> None:
    if kind == "echo":

        @kernel.agent
        def echo(value: object) -> object:
            return value

    elif kind == "fail":

        @kernel.agent
        def fail(_: object) -> None:
            raise AgentError("failed on purpose", class_="transient")

    elif kind == "hang":

        @kernel.agent(reply=True)
        def hang(task: Task, reply: Reply) -> None:
            kept.append(reply)

    else:
        pytest.fail(f"there is no test agent {kind!r}")


def filled(value: Any, saved: dict[str, Any]) -> Any:
    """The value with `"$name"` replaced by what was saved under that name."""
    if isinstance(value, str) and value.startswith("$"):
        return saved.get(value[1:], value)
    if isinstance(value, list):
        return [filled(item, saved) for item in value]
    if isinstance(value, dict):
        return {key: filled(item, saved) for key, item in value.items()}
    return value


def add_worker(kernel: Kernel, kind: str) -> None:
    """One of the test workers."""

    def note(_: object) -> None:
        pass

    def crash(_: object) -> None:
        raise AgentError("failed on purpose", class_="transient")

    kernel.supervision.message_worker({"note": note, "crash": crash}[kind])


def pointed(document: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) points at."""
    for token in pointer.split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        document = document[int(token) if isinstance(document, list) else token]
    return document


def matches(want: Any, got: Any) -> bool:
    if isinstance(want, str) and want in ("$any", "$number", "$string", "$array"):
        return {
            "$any": True,
            "$number": isinstance(got, int | float) and not isinstance(got, bool),
            "$string": isinstance(got, str),
            "$array": isinstance(got, list),
        }[want]
    if isinstance(want, dict) and isinstance(got, dict):
        partial = want.get("$partial") is True
        keys = set(want) - {"$partial"} if partial else set(want)
        if not (keys <= set(got) if partial else keys == set(got)):
            return False
        return all(matches(want[key], got[key]) for key in keys)
    if isinstance(want, list) and isinstance(got, list):
        return len(want) == len(got) and all(map(matches, want, got))
    if isinstance(want, bool) or isinstance(got, bool):
        return want is got
    return bool(want == got)


def outcome(kernel: Kernel, step: dict[str, Any], request: Any) -> tuple[dict[str, Any], Ticket]:
    """What the operation came to, and its ticket."""
    ticket = kernel.begin(step["op"], **request)
    virtual = kernel.status()["runtime"] == "manual"
    if virtual:
        kernel.advance(step.get("advance_ms", 0) / 1e3)
    try:
        if step.get("pending") or (virtual and not ticket.done()):
            return {"pending": True}, ticket
        return {"answer": ticket.wait(PATIENCE)}, ticket
    except sutazai.WaitTimeout:
        return {"pending": True}, ticket
    except SutazaiError as error:
        return {"error": error.to_dict()}, ticket


def run(case: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """What came of a case, and what it expects."""
    given = case.get("given", {})
    saved: dict[str, Any] = {}
    kept: list[Reply] = []
    tickets: list[Ticket] = []
    with tempfile.TemporaryDirectory() as folder:
        kernel = Kernel(
            folder if given.get("data_dir") else None,
            seed=given.get("seed", 1),
            clock=given.get("clock", "virtual"),
        )
        try:
            for kind in given.get("agents", []):
                add_agent(kernel, kind, kept)
            for kind in given.get("workers", []):
                add_worker(kernel, kind)
            if given.get("start", True):
                kernel.start()
            for step in given.get("before", []):
                came, ticket = outcome(kernel, step, filled(step.get("request", {}), saved))
                tickets.append(ticket)
                assert "error" not in came, (step, came)
                for name, pointer in step.get("save", {}).items():
                    saved[name] = pointed(came["answer"], pointer)
            came, ticket = outcome(kernel, case, filled(case.get("request", {}), saved))
            return came, filled(case["expect"], saved)
        finally:
            kept.clear()
            kernel.stop(0.0)


@pytest.mark.parametrize("case", list(cases()))
def test_case(case: dict[str, Any]) -> None:
    came, expect = run(case)
    if "error" in expect:
        # What of the error the case speaks of.
        error = came.get("error")
        assert error is not None and {**error, **expect["error"]} == error, came
    else:
        assert matches(expect, came), came


def test_every_operation_has_a_success_and_a_failure() -> None:
    with Kernel(clock="virtual") as kernel:
        operations = set(kernel.invoke("kernel.operations")["operations"])
    found = [(case.values[0]["op"], *case.values[0]["expect"]) for case in cases()]
    for kind in ("answer", "error"):
        assert operations - {op for op, *expect in found if kind in expect} == set(), kind
    assert {op for op, *expect in found if "answer" in expect} <= operations
