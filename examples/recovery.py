"""What is done about failures, part by part. `python examples/recovery.py`."""

import time
from collections.abc import Callable

import sutazai


def until(condition: Callable[[], object]) -> None:
    """Waits for work that goes on in the background."""
    while not condition():
        time.sleep(0.001)


def guarded_calls(kernel: sutazai.Kernel) -> None:
    """A call is tried again on another agent; an agent that keeps failing is left alone."""

    # By load alone: a router that learns would hardly ask the first one again.
    kernel.routing.set_policy({"strategy": "least_loaded"})

    @kernel.agent(name="first", skills=["translate"])
    def fails(text: str) -> str:
        raise ConnectionResetError("the model hung up")

    @kernel.agent(name="second", skills=["translate"])
    def works(text: str) -> str:
        return text[::-1]

    # Retry, budget, timeout and hedge are the call's, the other parts each agent's own.
    kernel.guards.set(
        skill="translate",
        timeout=5,
        retry={"attempts": 3, "base_ms": 1},
        budget={"capacity": 100},
        hedge={"min_ms": 50},
        breaker={"consecutive": 3},
        bulkhead={"concurrency": 8, "queue": 100},
    )
    answers = {kernel.call("translate", "olleh") for _ in range(10)}
    views = {view["calls"]: view["status"] for view in kernel.guards.list()}
    print("guarded calls:", answers, "breaker of first:", views["agent:first"]["breaker"]["state"])


def a_guarded_function() -> None:
    """The same around any function, or a coroutine function."""
    tries = []

    @sutazai.guard(retry={"base_ms": 1}, breaker=True, timeout=5)
    def fetch(name: str) -> str:
        tries.append(name)
        if len(tries) < 3:
            raise TimeoutError("not yet")
        return f"{name} after {len(tries)} tries"

    with sutazai.within(timeout=2, priority=200):  # carried into everything that is called
        print("a guarded function:", fetch("page"))


def what_failures_are(kernel: sutazai.Kernel) -> None:
    """Every failure is transient, persistent or critical, by built-in rules and your own."""
    kernel.classification.set_policy(
        {"rules": [{"name": "index is building", "class": "transient", "text": "still indexing"}]}
    )
    failures: list[str | BaseException | sutazai.FailureFacts] = [
        "still indexing",
        PermissionError("no"),
        {"http_status": 429, "retry_after": "7"},
    ]
    for failure in failures:
        verdict = kernel.classification.classify(failure)
        print(f"classified: {verdict['class']} by {verdict['rule']}, wait {verdict['retry_after_ms']}")


def supervision(kernel: sutazai.Kernel) -> None:
    """Work that is started again when it fails, and messages that outlive it."""
    done: list[str] = []

    @kernel.supervision.message_worker(mailbox={"kills": 2})
    def index(message: str) -> None:
        if message == "poison":
            raise ValueError("no way to index this")
        done.append(message)

    kernel.supervision.add("background", [{"id": "indexer", "does": "index"}], intensity=10)
    for message in ("a", "poison", "b"):
        kernel.supervision.push("background>indexer", message)
    until(lambda: len(done) == 2)
    aside = kernel.supervision.mailbox("background>indexer")["poison"]
    print("supervision: done", done, "set aside after", len(aside[0]["kills"]), "kills")


def rollback(kernel: sutazai.Kernel) -> None:
    """State is put back from a checkpoint; steps that were done are undone."""
    prompts = {"greeting": "hello"}
    kernel.checkpoints.register("prompts", prompts.copy, prompts.update)
    before = kernel.checkpoints.create("before the new prompts", only=["prompts"])
    prompts["greeting"] = "yo"
    kernel.checkpoints.restore(before["id"])

    undone = []

    def reserve(context: sutazai.SagaContext) -> str:
        return "seat 7"

    def release(context: sutazai.SagaContext, gave: str | None) -> None:
        undone.append(gave)

    def pay(context: sutazai.SagaContext) -> None:
        raise RuntimeError("the card was declined")

    kernel.saga("trip", [(reserve, release), (pay, None)])
    try:
        kernel.run_saga("trip")
    except sutazai.SagaUndone:
        print("rollback:", prompts, "undone:", undone)


def graceful_degradation(kernel: sutazai.Kernel) -> None:
    """Levels, and what features do at each; entered and left with hysteresis."""
    kernel.degradation.set_policy(
        {
            "features": {"search": {"reduced": {"reduced": {"results": 10}}}},
            "rules": [{"level": "reduced", "signal": "load", "enter": 0.9, "leave": 0.6}],
        }
    )
    kernel.signal("load", 0.95)
    print("degradation:", kernel.degradation.level, "search:", kernel.degradation.check("search"))
    kernel.degradation.set_policy({})


def isolation(kernel: sutazai.Kernel) -> None:
    """What harms the rest is set apart, probed and let in again."""
    for _ in range(3):
        target = kernel.isolation.observe("second", "crash")
    released = kernel.isolation.release("second", by="the example")
    print("isolation:", target["state"], "because of", target["why"], "then", released["state"])


def playbooks(kernel: sutazai.Kernel) -> None:
    """On this condition, do that, within bounds, and with a record."""

    @kernel.playbooks.action()
    def drop_caches(context: sutazai.ActionContext) -> str:
        return "3 caches dropped"

    book: sutazai.Playbook = {"name": "memory", "when": {"event": {"subject": "memory.low"}}, "action": "drop_caches"}
    kernel.playbooks.set_policy({"playbooks": [book]})
    kernel.publish("memory.low", {"free": 1})
    until(lambda: [entry for entry in kernel.playbooks.record() if entry["state"] == "done"])
    entry = kernel.playbooks.record(1)[0]
    print("playbooks:", entry["action"], "answered:", entry["answer"])


def failsafe(kernel: sutazai.Kernel) -> None:
    """The way to the safe state, within a bounded time."""

    @kernel.failsafe.stage(within=5)
    def close_valve(context: sutazai.SafeContext) -> None:
        pass

    kernel.failsafe.trigger("a drill")
    status = kernel.failsafe.wait(30)
    print("failsafe:", status["state"], [stage["name"] for stage in status["stages"]])


with sutazai.Kernel() as kernel:
    guarded_calls(kernel)
    a_guarded_function()
    what_failures_are(kernel)
    supervision(kernel)
    rollback(kernel)
    graceful_degradation(kernel)
    isolation(kernel)
    playbooks(kernel)
    failsafe(kernel)
