"""The exceptions: which class, what they carry."""

import errno
import pickle
import socket
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import pytest

import sutazai
from sutazai import AgentError, Kernel, SutazaiError
from sutazai._errors import _BY_NAME, _FAMILIES, _kind_of
from sutazai._sutazai import _codes


def test_every_code_has_a_class_of_its_family() -> None:
    families = set()
    for _, name, class_, _ in _codes():
        family = name.partition(".")[0]
        families.add(family)
        assert issubclass(_kind_of(name), _FAMILIES[family]), name
        assert class_ in ("transient", "persistent", "critical")
    assert families == set(_FAMILIES) - {"host"}
    assert set(_BY_NAME) <= {name for _, name, _, _ in _codes()}


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (sutazai.DeadlineExceeded, TimeoutError),
        (sutazai.WaitTimeout, TimeoutError),
        (sutazai.NotFound, LookupError),
        (sutazai.NoSkill, LookupError),
        (sutazai.OperationUnknown, LookupError),
        (sutazai.Invalid, ValueError),
        (sutazai.RequestInvalid, ValueError),
        (sutazai.PermissionDenied, PermissionError),
        (sutazai.Unsupported, NotImplementedError),
        (sutazai.Forked, RuntimeError),
    ],
)
def test_errors_are_what_python_calls_them(
    kind: type[SutazaiError], builtin: type[Exception]
) -> None:
    with pytest.raises(builtin):
        raise kind("x", context={"k": 1})
    assert str(kind("x", context={"k": 1}, advice="do")) == "x (k=1); do"


def test_an_error_says_what_where_and_what_to_do(kernel: Kernel) -> None:
    kernel.add_echo_agent(skill="translate")
    with pytest.raises(sutazai.NoSkill) as caught:
        kernel.call("translat")
    error = caught.value
    assert (error.code, error.name, error.class_) == (5000, "agent.no_skill", "persistent")
    assert error.operation == "kernel.call"
    assert error.context == {"skill": "translat"}
    assert error.advice == "did you mean 'translate'?"
    assert error.location is None
    assert str(error) == (
        "kernel.call: no registered agent has the skill (skill=translat); "
        "did you mean 'translate'?"
    )


def test_causes_are_kept(kernel: Kernel) -> None:
    with pytest.raises(sutazai.RequestInvalid) as caught:
        kernel.invoke("event.matches", pattern=3, subject="a")
    assert caught.value.context == {"field": "pattern"}
    with pytest.raises(sutazai.StoreError) as store:
        Kernel("/proc/nothing/here")
    assert store.value.causes


def test_every_mistake_of_a_manifest_is_shown(tmp_path: Path) -> None:
    manifest = tmp_path / "m.toml"
    manifest.write_text(
        "[[agent]]\nname = 'a'\ncommand = ['x']\nskils = ['s']\nconcurrency = 0\n"
    )
    with pytest.raises(sutazai.ConfigError) as caught:
        Kernel(manifest=manifest)
    error = caught.value
    assert str(error).splitlines() == [
        "config.manifest: 2 problems",
        f'{manifest}:4:1: unknown key "skils"; did you mean "skills"?',
        "4 | skils = ['s']",
        "  | ^",
        f'{manifest}:5:15: "concurrency" is out of range; it must be from 1 to 1000000',
        "5 | concurrency = 0",
        "  |               ^",
    ]
    assert error.causes == []
    first, second = error.problems
    assert first.location == error.location
    assert isinstance(second, sutazai.ConfigError) and second.location is not None
    assert (second.location.line, second.location.excerpt) == (5, "concurrency = 0")
    assert second.problems == [second]
    assert error.to_dict()["problems"][1] == second.to_dict()
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), [str(problem) for problem in again.problems]) == (
        str(error),
        [str(first), str(second)],
    )


def test_errors_survive_pickling() -> None:
    error = AgentError("no luck", class_="critical", context={"a": 1}, advice="rest")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is AgentError
    assert (str(again), vars(again)) == (str(error), vars(error))


@pytest.mark.parametrize(
    ("kind", "name", "class_"),
    [
        (sutazai.BreakerOpen, "recovery.breaker_open", "transient"),
        (sutazai.RateLimited, "recovery.rate_limited", "transient"),
        (sutazai.BulkheadFull, "recovery.bulkhead_full", "transient"),
        (sutazai.Quarantined, "recovery.quarantined", "transient"),
        (sutazai.Degraded, "recovery.degraded", "transient"),
        (sutazai.Poison, "recovery.poison", "persistent"),
        (sutazai.SafeState, "recovery.safe_state", "persistent"),
        (sutazai.SagaUndone, "recovery.saga_undone", "persistent"),
        (sutazai.SagaStuck, "recovery.saga_stuck", "critical"),
    ],
)
def test_recovery_has_a_family(kind: type[SutazaiError], name: str, class_: str) -> None:
    error = kind("x")
    assert isinstance(error, sutazai.RecoveryError)
    assert (error.name, error.class_) == (name, class_)
    assert _kind_of(name) is kind
    assert _kind_of("recovery.intensity") is sutazai.RecoveryError


class Response:
    """What HTTP clients hang on their exceptions."""

    status_code = 429
    headers: ClassVar[dict[str, str]] = {"retry-after": "7"}


class UpstreamGone(ConnectionResetError):
    response = Response()
    code = "upstream_gone"
    pgcode = "08006"

    @property
    def type(self) -> str:
        raise RuntimeError("not for you")


def raising(kernel: Kernel, error: BaseException) -> dict[str, str]:
    """The context that an error has when an agent raised it."""

    @kernel.agent
    def unlucky(_: object) -> None:
        raise error

    with pytest.raises(AgentError) as caught:
        kernel.call("unlucky")
    return {key: value for key, value in caught.value.context.items() if key != "traceback"}


def test_what_an_exception_knows_reaches_the_core(kernel: Kernel) -> None:
    error = UpstreamGone(errno.ECONNRESET, "gone")
    context = raising(kernel, error)
    module = UpstreamGone.__module__
    assert context["exception"] == f"{module}.UpstreamGone"
    assert context["bases"] == "ConnectionResetError, ConnectionError, OSError"
    assert context["http_status"] == "429"
    assert context["retry_after"] == "7"
    assert context["provider_code"] == "upstream_gone"
    assert context["sqlstate"] == "08006"
    assert context["errno"] == "ECONNRESET"
    assert "provider_type" not in context


def test_a_plain_exception_says_no_more_than_its_type(kernel: Kernel) -> None:
    assert raising(kernel, RuntimeError("boom"))["exception"] == "RuntimeError"
    kernel.remove_agent("unlucky")
    assert set(raising(kernel, RuntimeError("boom"))) <= {"exception", "agent"}


def test_headers_may_be_anything(kernel: Kernel) -> None:
    class Odd(Exception):
        headers = 7
        status = "not a number"

    class Worse(Exception):
        @property
        def headers(self) -> dict[str, str]:
            raise KeyError("none")

    assert "retry_after" not in raising(kernel, Odd("x"))
    kernel.remove_agent("unlucky")
    assert "retry_after" not in raising(kernel, Worse("x"))


def test_failures_are_classified(kernel: Kernel) -> None:
    with pytest.raises(OSError) as caught:
        socket.getaddrinfo("nosuch.invalid", 80, type=1234)
    context = raising(kernel, caught.value)
    failure = {"exception": context["exception"], "errno": context["errno"]}
    verdict = kernel.invoke("recovery.classify", failure=failure)
    assert verdict["class"] == "persistent", (verdict, failure)


@pytest.mark.parametrize(
    ("group", "class_", "worst"),
    [
        (ExceptionGroup("timed out", [ValueError("bad")]), "persistent", "ValueError"),
        (ExceptionGroup("", [TimeoutError("late"), ConnectionError("gone")]), "transient", "TimeoutError"),
        (
            ExceptionGroup("", [TimeoutError(), ExceptionGroup("", [KeyError("x"), MemoryError()])]),
            "critical",
            "MemoryError",
        ),
        (BaseExceptionGroup("", [KeyboardInterrupt(), TimeoutError()]), "persistent", "KeyboardInterrupt"),
    ],
)
def test_a_group_is_as_bad_as_the_worst_in_it(
    kernel: Kernel, group: BaseExceptionGroup[BaseException], class_: str, worst: str
) -> None:
    assert kernel.classification.classify(group)["class"] == class_
    if isinstance(group, Exception):
        assert raising(kernel, group)["exception"] == worst


def test_a_group_is_named_with_its_traceback(kernel: Kernel) -> None:
    @kernel.agent
    def unlucky(_: object) -> None:
        raise ExceptionGroup("both", [TimeoutError("late"), ValueError("bad")])

    @kernel.agent
    def one(_: object) -> None:
        raise ExceptionGroup("one", [sutazai.Invalid("no", context={"field": "x"})])

    with pytest.raises(AgentError) as caught:
        kernel.call("unlucky")
    assert caught.value.message == "the agent raised ExceptionGroup of 2, the worst ValueError: bad"
    assert "TimeoutError: late" in caught.value.__notes__[0]
    with pytest.raises(sutazai.Invalid) as invalid:
        kernel.call("one")
    assert invalid.value.message == "the agent raised ExceptionGroup of Invalid: no"
    assert invalid.value.context["field"] == "x"


def test_a_group_of_what_stays_wrong_is_not_tried_again() -> None:
    tries = 0

    @sutazai.guard(retry=True)
    def wrong() -> None:
        nonlocal tries
        tries += 1
        raise ExceptionGroup("", [ValueError()])

    with pytest.raises(ExceptionGroup):
        wrong()
    assert tries == 1


@pytest.mark.parametrize(
    ("status", "key", "value", "class_"),
    [
        (-9, "signal", "9 (SIGKILL)", "transient"),
        (-11, "signal", "11 (SIGSEGV)", "critical"),
        (-99, "signal", "99", None),
        (75, "exit_status", "75", "transient"),
        (127, "exit_status", "127", "persistent"),
    ],
)
def test_a_process_that_failed_is_judged_by_how_it_ended(
    kernel: Kernel, status: int, key: str, value: str, class_: str | None
) -> None:
    error = subprocess.CalledProcessError(status, ["tool"])
    assert raising(kernel, error)[key] == value
    if class_ is not None:
        assert kernel.classification.classify(error)["class"] == class_


class ClientError(Exception):
    """As botocore has it."""

    def __init__(self, response: Any) -> None:
        super().__init__("An error occurred when calling the operation")
        self.response = response


def test_an_error_of_aws_says_what_its_response_does(kernel: Kernel) -> None:
    response = {
        "Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"},
        "ResponseMetadata": {"HTTPStatusCode": 400, "HTTPHeaders": {"retry-after": "7"}},
    }
    context = raising(kernel, ClientError(response))
    assert context["provider_code"] == "ThrottlingException"
    assert (context["http_status"], context["retry_after"]) == ("400", "7")
    verdict = kernel.classification.classify(ClientError(response))
    assert (verdict["class"], verdict["retry_after_ms"]) == ("transient", 7_000)
    denied = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    assert kernel.classification.classify(ClientError(denied))["class"] == "persistent"


@pytest.mark.parametrize("response", [{}, {"Error": "no", "ResponseMetadata": None}, {"Error": {"Code": 3}}])
def test_a_response_of_another_form_says_nothing(kernel: Kernel, response: Any) -> None:
    context = raising(kernel, ClientError(response))
    assert not {"provider_code", "http_status", "retry_after"} & context.keys()


def test_denied_tokens_are_security_errors(kernel: Kernel) -> None:
    kernel.add_echo_agent()
    with pytest.raises(sutazai.SecurityError) as caught:
        kernel.call("echo", token="nobody's")
    assert caught.value.name == "security.unauthenticated"


def test_an_error_has_the_json_form_of_every_host(kernel: Kernel) -> None:
    with pytest.raises(sutazai.NoSkill) as caught:
        kernel.call("nothing")
    assert caught.value.to_dict() == {
        "code": 5000,
        "name": "agent.no_skill",
        "class": "persistent",
        "message": "no registered agent has the skill",
        "operation": "kernel.call",
        "context": {"skill": "nothing"},
        "advice": "register an agent that has it",
    }
