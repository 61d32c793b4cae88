"""Components, injection by name, logging, plugins."""

import logging
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

import sutazai
from sutazai import Kernel, LogHandler


def test_components_start_in_order_of_needs_and_stop_in_reverse() -> None:
    story: list[str] = []
    kernel = Kernel()

    @kernel.component("server", needs=["pool"])
    class Server:
        def start(self) -> None:
            story.append("server up")

        def stop(self) -> None:
            story.append("server down")

    @kernel.component("pool")
    def pool() -> Iterator[None]:
        story.append("pool up")
        yield
        story.append("pool down")

    with kernel:
        assert story == ["pool up", "server up"]
        assert [part["name"] for part in kernel.status()["components"]] == ["pool", "server"]
    assert story == ["pool up", "server up", "server down", "pool down"]


def test_a_failed_start_unwinds_and_names_the_component() -> None:
    story: list[str] = []
    kernel = Kernel()

    @kernel.component("good")
    def good() -> Iterator[None]:
        story.append("up")
        yield
        story.append("down")

    @kernel.component("bad", needs=["good"])
    class Bad:
        def start(self) -> None:
            raise ConnectionError("no route")

        def stop(self) -> None:
            story.append("never")

    with pytest.raises(sutazai.KernelError) as caught:
        kernel.start()
    assert caught.value.name == "kernel.component_start"
    assert "bad" in str(caught.value) and "no route" in str(caught.value)
    assert story == ["up", "down"]
    kernel.stop()


def test_missing_and_circular_needs_are_refused() -> None:
    kernel = Kernel()

    def part() -> Iterator[None]:
        yield

    kernel.component("a", needs=["b"])(part)
    with pytest.raises(sutazai.KernelError) as caught:
        kernel.start()
    assert caught.value.name == "kernel.component_missing"
    with pytest.raises(TypeError):
        kernel.component("c")(object)  # type: ignore[type-var]
    kernel.stop()


def test_values_are_built_once_with_what_they_need() -> None:
    built: list[str] = []
    kernel = Kernel()

    def config() -> dict[str, int]:
        built.append("config")
        return {"size": 3}

    def pool(config: dict[str, int]) -> list[int]:
        built.append("pool")
        return [0] * config["size"]

    kernel.provide("pool", pool, needs=["config"])
    kernel.provide("config", config)
    kernel.provide("stamp", object, scope="transient")
    kernel.provide("request", object, scope="scoped")
    with kernel:
        assert built == []
        assert kernel.get("pool") == [0, 0, 0]
        assert kernel.get("pool") is kernel.get("pool")
        assert built == ["config", "pool"]
        assert kernel.get("stamp") is not kernel.get("stamp")
        with kernel.scope() as scope, kernel.scope() as other:
            assert scope.get("request") is scope.get("request")
            assert scope.get("request") is not other.get("request")
        with pytest.raises(sutazai.KernelError) as caught:
            kernel.get("request")
        assert caught.value.name == "kernel.inject_scope"
        with pytest.raises(sutazai.NotRunning, match="the scope has been closed"):
            scope.get("request")
        with pytest.raises(sutazai.NotRunning):
            kernel.provide("late", object)
        outlives = kernel.scope()
        outlives.get("request")
    with pytest.raises(sutazai.NotRunning, match="it has been stopped"):
        kernel.get("pool")
    with pytest.raises(sutazai.NotRunning, match="it has been stopped"):
        outlives.get("request")
    outlives.close()


def test_a_graph_that_cannot_be_built_says_the_path() -> None:
    kernel = Kernel()
    kernel.provide("a", lambda b: b, needs=["b"])
    kernel.provide("b", lambda a: a, needs=["a"])
    with pytest.raises(sutazai.KernelError) as caught:
        kernel.start()
    assert caught.value.name == "kernel.inject_cycle"
    assert '"a"' in str(caught.value) and '"b"' in str(caught.value)
    missing = Kernel()
    missing.provide("a", lambda b: b, needs=["b"])
    with pytest.raises(sutazai.KernelError) as caught:
        missing.get("a")
    assert caught.value.name == "kernel.inject_missing"
    with pytest.raises(ValueError, match="scope"):
        missing.provide("x", object, scope="eternal")  # type: ignore[arg-type]
    with pytest.raises(sutazai.AlreadyExists):
        missing.provide("a", object)
    missing.provide("b", lambda: 7)
    with missing:
        assert missing.get("a") == 7


def test_a_factory_that_fails_may_be_asked_again() -> None:
    tries: list[int] = []

    def flaky() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("not yet")
        return "ready"

    kernel = Kernel()
    kernel.provide("flaky", flaky)
    with pytest.raises(sutazai.SutazaiError, match="not yet"):
        kernel.get("flaky")
    assert kernel.get("flaky") == "ready"


def test_many_threads_get_the_same_value() -> None:
    kernel = Kernel()
    kernel.provide("value", object)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(kernel.get("value"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 16 and len(set(map(id, found))) == 1


def records(kernel: Kernel, target: str) -> list[dict[str, Any]]:
    return list(kernel.invoke("observe.logs", target=target)["records"])


def test_logging_reaches_the_kernels_log(kernel: Kernel) -> None:
    logger = logging.getLogger("tests.to_kernel")
    logger.setLevel(logging.DEBUG)
    handler = LogHandler(kernel)
    logger.addHandler(handler)
    try:
        logger.info("hello %s", "there", extra={"size": 3, "thing": object})
        logger.debug("below the kernel's filter")
        try:
            raise ValueError("oh")
        except ValueError:
            logger.exception("failed")
    finally:
        logger.removeHandler(handler)
    first, second = records(kernel, "tests.to_kernel")
    assert (first["level"], first["message"]) == ("info", "hello there")
    assert first["fields"] == {"size": 3, "thing": "<class 'object'>"}
    assert second["level"] == "error"
    assert second["fields"]["exception"] == "ValueError"
    assert "oh" in second["fields"]["traceback"]


def test_the_kernels_log_reaches_logging() -> None:
    seen: list[logging.LogRecord] = []
    arrived = threading.Event()

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)
            arrived.set()

    logger = logging.getLogger("sutazai.tests")
    logger.setLevel(logging.INFO)
    kernel = Kernel().start()
    collect, back = Collect(), LogHandler(kernel)
    logger.addHandler(collect)
    logger.addHandler(back)
    try:
        kernel.log_to_logging()
        kernel.log("disk is nearly full", level=logging.WARNING, target="tests", free=4096)
        assert arrived.wait(60)
        for number in range(100):
            kernel.log(str(number), target="tests")
        # Going both ways, nothing goes round in circles.
        assert len(kernel.invoke("observe.logs", target="tests", limit=1000)["records"]) == 101
        kernel.stop()
    finally:
        logger.removeHandler(collect)
        logger.removeHandler(back)
    assert [record.getMessage() for record in seen] == [
        "disk is nearly full",
        *map(str, range(100)),
    ]
    assert (seen[0].name, seen[0].levelno) == ("sutazai.tests", logging.WARNING)
    assert seen[0].sutazai_fields == {"free": 4096}  # type: ignore[attr-defined]


def test_the_filter_of_the_log_is_set(kernel: Kernel) -> None:
    kernel.set_log_filter("warn,chatty=debug")
    kernel.log("no", target="quiet")
    kernel.log("yes", target="chatty", level=logging.DEBUG)
    assert records(kernel, "quiet") == []
    assert [record["message"] for record in records(kernel, "chatty")] == ["yes"]
    with pytest.raises(sutazai.Invalid):
        kernel.set_log_filter("loud")


def test_plugins_are_discovered_and_called(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("sutazai_tests_plugin")
    module.install = lambda kernel: kernel.add_echo_agent("plugged")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    point = EntryPoint("echo", f"{module.__name__}:install", "sutazai.plugins")
    monkeypatch.setattr(
        "sutazai._plugins.entry_points", lambda group: EntryPoints([point]).select(group=group)
    )
    assert list(sutazai.plugins()) == ["echo"]
    with Kernel(plugins=True) as kernel:
        assert kernel.call("echo", 1) == 1
    with Kernel() as kernel:
        assert kernel.agents() == []
