"""Agents that misbehave: each is an error of the right class, never a crash."""

import gc
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import sutazai
from sutazai import AgentError, Context, Kernel, Reply, Task

Raise = Callable[[], BaseException]


def failing(kernel: Kernel, error: BaseException, **options: Any) -> sutazai.SutazaiError:
    """What the caller gets when an agent raises `error`."""

    @kernel.agent(name="failing", **options)
    def agent(_: object) -> None:
        raise error

    with pytest.raises(sutazai.SutazaiError) as caught:
        kernel.call("failing")
    kernel.remove_agent("failing")
    return caught.value


def test_an_agent_chooses_class_and_context(kernel: Kernel) -> None:
    for class_ in ("transient", "persistent", "critical"):
        error = failing(kernel, AgentError("no luck", class_=class_, context={"try": 3}))
        assert type(error) is AgentError
        assert (error.name, error.class_) == ("agent.failed", class_)
        assert (error.message, error.context) == ("no luck", {"try": "3"})
    with pytest.raises(ValueError):
        AgentError("x", class_="nuclear")


def test_any_exception_fails_the_call_with_type_and_traceback(kernel: Kernel) -> None:
    def deep() -> None:
        raise ValueError("seven")

    @kernel.agent
    def agent(_: object) -> None:
        deep()

    with pytest.raises(AgentError) as caught:
        kernel.call("agent")
    error = caught.value
    assert (error.code, error.name) == (5001, "agent.failed")
    assert error.context["exception"] == "ValueError"
    assert "in deep" in error.context["traceback"]
    assert "seven" in error.message and "\n" not in str(error)
    assert error.message == "the agent raised ValueError: seven"
    assert any("In the agent:" in note and "in deep" in note for note in error.__notes__)


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), BaseException("bare")])
def test_exits_do_not_take_the_kernel_along(
    kernel: Kernel, error: BaseException, inline: bool
) -> None:
    assert failing(kernel, error, inline=inline).name == "agent.failed"
    assert kernel.phase == "running"


def test_a_keyboard_interrupt_on_the_pool_is_the_agents_own(kernel: Kernel) -> None:
    error = failing(kernel, KeyboardInterrupt())
    assert error.context["exception"] == "KeyboardInterrupt"


def test_a_keyboard_interrupt_in_an_inline_agent_is_the_callers(kernel: Kernel) -> None:
    @kernel.agent(inline=True)
    def agent(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kernel.call("agent")
    with pytest.raises(KeyboardInterrupt):
        kernel.invoke("agent.call", skill="agent")
    [view] = kernel.agents()
    assert view["in_flight"] == 0


def test_exceptions_that_cannot_be_shown(kernel: Kernel) -> None:
    class Unshowable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert "cannot be shown" in failing(kernel, Unshowable()).message
    assert "\\ud800" in failing(kernel, ValueError("\ud800")).message
    long = failing(kernel, ValueError("x" * 1_000_000))
    assert len(long.message) < 10_000 and len(long.context["traceback"]) < 10_000


def test_an_error_of_a_nested_call_comes_through(kernel: Kernel) -> None:
    @kernel.agent
    def outer(_: object) -> Any:
        return kernel.call("nobody has this")

    with pytest.raises(sutazai.NoSkill) as caught:
        kernel.call("outer")
    assert caught.value.context["skill"] == "nobody has this"


@pytest.mark.parametrize("answer", [{1}, object(), float("nan"), 1 << 64, {1: 2}, [b"x"], "\ud800"])
@pytest.mark.parametrize("context", [False, True])
def test_what_has_no_json_form_is_a_bad_answer(
    kernel: Kernel, answer: object, context: bool
) -> None:
    def plain(_: object) -> object:
        return answer

    def with_context(_: object, context: Context) -> object:
        return answer

    kernel.agent(name="agent")(with_context if context else plain)
    with pytest.raises(sutazai.BadAnswer) as caught:
        kernel.call("agent")
    assert caught.value.class_ == "persistent" and "$" in caught.value.context["reason"]


def test_a_coroutine_that_answers_with_nonsense(kernel: Kernel) -> None:
    @kernel.agent
    async def agent(_: object) -> object:
        return {1}

    with pytest.raises(sutazai.BadAnswer):
        kernel.call("agent")


def test_a_wrong_signature_is_the_agents_error(kernel: Kernel) -> None:
    with pytest.raises(TypeError):
        kernel.agent(name="none")(lambda: None)
    with pytest.raises(TypeError):
        kernel.agent(name="three")(lambda a, b, c: None)
    with pytest.raises(TypeError):
        kernel.agent(lambda x: x)
    with pytest.raises(TypeError):
        kernel.agent(name="x", skills="not a list")(lambda x: x)
    with pytest.raises(sutazai.Invalid):
        kernel.agent(name="no skills", skills=[])(lambda x: x)


def test_answering_twice_is_too_late(kernel: Kernel) -> None:
    errors: list[BaseException] = []

    @kernel.agent(reply=True)
    def twice(task: Task, reply: Reply) -> None:
        reply.send(task.input)
        for again in (reply.send, reply.fail, reply.progress):
            try:
                again("again")
            except sutazai.TooLate as error:
                errors.append(error)

    ticket = kernel.submit("twice", [1])
    assert ticket.wait() == [1]
    kernel.stop()
    assert len(errors) == 3


def test_an_exception_after_the_answer_changes_nothing(kernel: Kernel) -> None:
    @kernel.agent(reply=True)
    def agent(task: Task, reply: Reply) -> None:
        reply.send("answered")
        raise RuntimeError("too late")

    assert kernel.call("agent") == "answered"


def test_a_reply_that_is_forgotten_answers(kernel: Kernel) -> None:
    @kernel.agent(reply=True)
    def agent(task: Task, reply: Reply) -> None:
        pass

    with pytest.raises(sutazai.CoreError) as caught:
        kernel.call("agent")
    assert caught.value.name == "base.abandoned"


def test_a_reply_is_answered_from_another_thread_later(kernel: Kernel) -> None:
    threads: list[threading.Thread] = []

    @kernel.agent(reply=True)
    def agent(task: Task, reply: Reply) -> None:
        thread = threading.Thread(target=lambda: reply.send(task.input))
        threads.append(thread)
        thread.start()

    @kernel.agent(reply=True)
    def fails(task: Task, reply: Reply) -> None:
        reply.fail(AgentError("later", class_="critical"))

    assert kernel.call("agent", "x") == "x"
    threads[0].join()
    with pytest.raises(AgentError) as caught:
        kernel.call("fails")
    assert (caught.value.message, caught.value.class_) == ("later", "critical")


def test_answers_after_shutdown_are_errors() -> None:
    replies: list[Reply] = []
    started = threading.Event()

    with Kernel() as kernel:

        @kernel.agent(reply=True)
        def agent(task: Task, reply: Reply) -> None:
            replies.append(reply)
            started.set()

        ticket = kernel.submit("agent")
        started.wait()
        kernel.stop(0.0)
    errors: list[BaseException] = []

    def answer() -> None:
        try:
            replies[0].send("late")
        except sutazai.TooLate as error:
            errors.append(error)

    thread = threading.Thread(target=answer)
    thread.start()
    thread.join()
    assert len(errors) == 1
    with pytest.raises(sutazai.CallCancelled):
        ticket.result()
    with pytest.raises(sutazai.NotRunning):
        kernel.call("agent")


def test_never_answering_meets_the_deadline(kernel: Kernel) -> None:
    replies: list[Reply] = []

    @kernel.agent(reply=True)
    def agent(task: Task, reply: Reply) -> None:
        replies.append(reply)

    with pytest.raises(sutazai.DeadlineExceeded):
        kernel.call("agent", timeout=0.01)


def test_a_function_that_raises_in_a_callback_is_reported(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    kernel.add_echo_agent()

    def callback(_: object) -> None:
        raise ValueError("in the callback")

    kernel.submit("echo").on_done(callback)
    assert [type(report.exc_value) for report in seen] == [ValueError]


def test_generator_functions_are_refused(kernel: Kernel) -> None:
    def generator(_: object) -> Iterator[int]:
        yield 1

    async def async_generator(_: object) -> AsyncIterator[int]:
        yield 1

    for reply in (False, True):
        with pytest.raises(TypeError, match="coroutine function, not a generator function"):
            kernel.agent(reply=reply)(generator)
        with pytest.raises(TypeError, match="not an async generator function"):
            kernel.agent(reply=reply)(async_generator)
    with pytest.raises(TypeError, match="a generator function cannot be a callback"):
        kernel.subscribe("a", generator)


def test_progress_from_many_threads_while_one_answers(kernel: Kernel) -> None:
    @kernel.agent(reply=True)
    def agent(task: Task, reply: Reply) -> None:
        def report() -> None:
            try:
                while True:
                    reply.progress("part")
            except sutazai.TooLate:
                pass

        threads = [threading.Thread(target=report) for _ in range(4)]
        for thread in threads:
            thread.start()
        reply.send("done")
        for thread in threads:
            thread.join()

    for _ in range(3):
        assert kernel.call("agent") == "done"
    gc.collect()


def test_a_probe_tells_who_lies(kernel: sutazai.Kernel) -> None:
    about: dict[str, sutazai.SkillCard] = {
        "double": {"output": {"type": "integer"}, "probe": {"input": 21, "equals": 42}}
    }

    @kernel.agent(skills=["double"], about=about)
    def good(number: int) -> int:
        return 2 * number

    @kernel.agent(skills=["double"], about=about)
    def liar(_number: int) -> dict[str, int]:
        return {"result": 42}

    @kernel.agent(skills=["double", "other"], about=about)
    def broken(_number: int) -> int:
        raise ValueError("out of order")

    assert kernel.probe("good")["verdict"] == "right"
    report = kernel.probe("liar")
    assert report["verdict"] == "lies"
    assert report["skills"][0]["why"].startswith("not as the card declares the output: ")
    failed = kernel.probe("broken")
    assert [skill["verdict"] for skill in failed["skills"]] == ["fails", "unproved"]
    assert failed["skills"][0]["error"]["name"] == "agent.failed"
    own: sutazai.SkillProbe = {"input": 1, "contains": 3}
    assert kernel.probe("good", probes={"double": own}, timeout=5)["verdict"] == "lies"
    assert all(agent["stats"]["calls"] == 0 for agent in kernel.agents())
    with pytest.raises(sutazai.NotFound):
        kernel.probe("good", skills=["cook"])
    with pytest.raises(sutazai.Invalid, match="probe"):
        kernel.agent(about={"worse": {"probe": {"within_ms": 0}}})(lambda_named("worse"))


def lambda_named(name: str) -> Callable[[object], object]:
    def function(given: object) -> object:
        return given

    function.__name__ = name
    return function
