"""The bus from Python."""

import sys
import threading
from typing import Any

import pytest

import sutazai
from sutazai import Event, Kernel


def test_events_are_pulled_in_order(kernel: Kernel) -> None:
    with kernel.subscribe("a.*") as subscription:
        for number in range(3):
            assert kernel.publish("a.b", number) == (1, 0)
        assert kernel.publish("b.a") == (0, 0)
        events = [subscription.next() for _ in range(3)]
        assert [(e.subject, e.payload) for e in events if e] == [("a.b", 0), ("a.b", 1), ("a.b", 2)]
        assert subscription.next(0) is None and subscription.next(0.001) is None
    assert subscription.next() is None
    assert list(subscription) == []
    assert kernel.publish("a.b").queued == 0


def test_a_function_gets_the_events_until_it_is_unsubscribed(kernel: Kernel) -> None:
    got: list[Any] = []
    arrived = threading.Semaphore(0)

    def on_event(event: Event) -> None:
        got.append((event.subject, event.payload))
        arrived.release()

    # Nobody keeps the subscription: the kernel does.
    kernel.subscribe("a.>", on_event)
    kernel.publish("a.b", 1)
    arrived.acquire()
    kernel.publish("a.b.c", b"\xff")
    arrived.acquire()
    assert got == [("a.b", 1), ("a.b.c", b"\xff")]

    second = kernel.subscribe("b", on_event)
    second.unsubscribe()
    assert kernel.publish("b").queued == 0
    with pytest.raises(sutazai.Unsupported):
        second.next()


def test_the_kernels_own_events_are_heard() -> None:
    kernel = Kernel()
    with kernel.subscribe(">") as subscription:
        kernel.start()
        kernel.add_echo_agent()
        kernel.stop()
        events = list(subscription)
    subjects = [event.subject for event in events if event.subject != "agent.state"]
    assert subjects == [
        "kernel.started",
        "agent.registered",
        "kernel.draining",
        "agent.removed",
        "kernel.stopped",
    ]
    states = [event.payload for event in events if event.subject == "agent.state"]
    assert [(state["from"], state["to"]) for state in states] == [
        ("registered", "starting"),
        ("starting", "ready"),
        ("ready", "draining"),
        ("draining", "stopped"),
    ]


def test_a_slow_subscription_loses_what_it_chose_to_lose(kernel: Kernel) -> None:
    oldest = kernel.subscribe("a", capacity=2, overflow="drop_oldest")
    newest = kernel.subscribe("a", capacity=2, overflow="drop_newest")
    closing = kernel.subscribe("a", capacity=2, overflow="close")
    for number in range(5):
        kernel.publish("a", number)

    def waiting(subscription: sutazai.Subscription) -> list[tuple[object, int]]:
        found = []
        while (event := subscription.next(0)) is not None:
            found.append((event.payload, event.missed_before))
        return found

    assert waiting(oldest) == [(3, 3), (4, 0)] and oldest.missed == 3
    assert waiting(newest) == [(0, 0), (1, 0)] and newest.missed == 3
    assert [closing.next(0) is not None for _ in range(2)] == [True, True]
    with pytest.raises(sutazai.SubscriptionClosed):
        closing.next(0)


def test_a_queue_group_shares_the_events(kernel: Kernel) -> None:
    members = [kernel.subscribe("work.*", queue_group="workers") for _ in range(3)]
    for number in range(30):
        assert kernel.publish("work.item", number).queued == 1
    got = []
    for member in members:
        while (event := member.next(0)) is not None:
            got.append(event.payload)
    assert sorted(got) == list(range(30))


def test_publishing_can_wait_for_room(kernel: Kernel) -> None:
    subscription = kernel.subscribe("a", capacity=1, overflow="drop_newest")
    kernel.publish("a", 0)
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(kernel.publish("a", 1, wait=60)))
    thread.start()
    first = subscription.next()
    thread.join()
    second = subscription.next()
    assert first and second and (first.payload, second.payload) == (0, 1)
    assert seen == [(1, 0)]


def test_iteration_ends_with_the_kernel(kernel: Kernel) -> None:
    subscription = kernel.subscribe("a")
    kernel.publish("a", 1)
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.extend(e.payload for e in subscription))
    thread.start()
    kernel.stop(0.1)
    thread.join(60)
    assert got == [1]


def test_a_callback_that_raises_is_reported_and_the_next_event_comes(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reports.append(report.exc_type))
    done = threading.Event()

    def on_event(event: Event) -> None:
        if event.payload == 1:
            done.set()
            return
        raise ValueError

    kernel.subscribe("a", on_event)
    kernel.publish("a", 0)
    kernel.publish("a", 1)
    assert done.wait(60)
    assert reports == [ValueError]


@pytest.mark.parametrize("subject", ["", "a..b", "a.", "a b", "a.*", ">"])
def test_malformed_subjects_are_refused(kernel: Kernel, subject: str) -> None:
    with pytest.raises(sutazai.EventError) as caught:
        kernel.publish(subject)
    assert caught.value.name == "event.subject_invalid"


def test_wrong_options_are_refused(kernel: Kernel) -> None:
    with pytest.raises(sutazai.EventError):
        kernel.subscribe("a..b")
    with pytest.raises(sutazai.Invalid):
        kernel.subscribe("a", capacity=0)
    with pytest.raises(ValueError, match="overflow"):
        kernel.subscribe("a", overflow="panic")  # type: ignore[arg-type]
