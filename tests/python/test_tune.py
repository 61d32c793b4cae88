"""Knobs, tuners that try values of them, and pools whose size follows their load."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sutazai
from sutazai import Kernel, TunedKnob, TunerPolicy

BATCH: TunedKnob = {
    "name": "batch",
    "kind": {"type": "integer", "low": 1, "high": 256, "scale": "log"},
    "value": 2,
    "max_step": 0.3,
}
QUICK: TunerPolicy = {"autonomy": "act", "warm_up_ms": 0, "window_ms": 4, "cool_down_ms": 0}


def test_a_knob_of_the_kernel_is_set() -> None:
    with Kernel() as kernel:
        kernel.guards.set(bulkhead={"concurrency": 8})
        knobs = {knob["name"]: knob for knob in kernel.tune.knobs()}
        assert knobs["guard/all/bulkhead/concurrency"]["value"] == 8
        kernel.tune.set("guard/all/bulkhead/concurrency", 32)
        knobs = {knob["name"]: knob for knob in kernel.tune.knobs()}
        assert knobs["guard/all/bulkhead/concurrency"]["value"] == 32
        with pytest.raises(sutazai.NotFound, match="no knob"):
            kernel.tune.set("batch", 1)
        with pytest.raises(sutazai.NotFound, match="did you mean 'guard/all/bulkhead/concurrency'") as no:
            kernel.tune.set("guard/all/bulkhed/concurrency", 1)
        assert str(no.value).count("knob=") == 1
        with pytest.raises(ValueError, match="may not be set to this"):
            kernel.tune.set("guard/all/bulkhead/concurrency", 0)


def test_a_knob_of_the_hosts_is_tuned_by_what_it_reports() -> None:
    with Kernel() as kernel, kernel.subscribe("tune.>") as events:
        status = kernel.tune.add("ingest", {"knobs": [BATCH], "policy": QUICK})
        assert status["phase"] == "learning"
        assert [(one["for"], "series" in one) for one in status["waits_for"]] == [("objective", False)]
        with pytest.raises(sutazai.NotFound, match="did you mean 'ingest'"):
            kernel.tune.get("ingset")
        batch = 2
        seen = set()
        end = time.monotonic() + 60
        # A hundred over the batch, and the batch: ten is best.
        while time.monotonic() < end:
            applied = kernel.tune.report("ingest", 100 / batch + batch)["applied"]
            assert isinstance(applied["batch"], int)
            batch = applied["batch"]
            seen.add(batch)
            status = kernel.tune.get("ingest")
            if status["adopted"] >= 1 and status["incumbent"]["batch"] != 2 and status["trials"] >= 5:
                break
        assert len(seen) >= 3 and status["adopted"] >= 1, status
        adopted = [trial for trial in status["history"] if trial["verdict"] == "adopted"]
        assert all(trial["gain"] > 0 for trial in adopted)
        assert all(trial["began"] <= trial["ended"] and "T" in trial["began"] for trial in adopted)
        last = status["history"][-1]["id"]
        told = set()
        while (event := events.next(0)) is not None:
            told.add(event.subject)
        assert {"tune.apply", "tune.trial"} <= told
        assert [one["name"] for one in kernel.tune.tuners()] == ["ingest"]
        assert kernel.tune.autonomy("ingest", "observe", by="ann")["spec"]["policy"]["autonomy"] == "observe"
        kernel.tune.remove("ingest")
        with pytest.raises(sutazai.NotFound):
            kernel.tune.get("ingest")
        # Another one of its name numbers its trials on.
        kernel.tune.add("ingest", {"knobs": [BATCH], "policy": {**QUICK, "autonomy": "approve"}})
        while "waiting" not in (status := kernel.tune.get("ingest")):
            kernel.tune.report("ingest", objective=52.0)
            assert time.monotonic() < end, status
        assert status["waiting"]["trial"] > last and status["trials"] >= 1


def test_what_is_reported_is_numbers_by_name() -> None:
    wrong: Any = 5
    with Kernel() as kernel:
        policy: TunerPolicy = {**QUICK, "guards": [{"metric": "lag", "side": "at_most", "bound": 1.0}]}
        kernel.tune.add("ingest", {"knobs": [BATCH], "policy": policy})
        with pytest.raises(TypeError, match="^guards must be a mapping of metrics to numbers, not int$"):
            kernel.tune.report("ingest", objective=1.0, guards=wrong)
        with pytest.raises(TypeError, match="^benefits must be a mapping of members to numbers, not int$"):
            kernel.tune.report_benefits("tokens", wrong)
        with pytest.raises(sutazai.Invalid, match="^objective is too large"):
            kernel.tune.report("ingest", objective=10**400)
        with pytest.raises(sutazai.Invalid, match=r"^guards\['lag'\] is too large"):
            kernel.tune.report("ingest", guards={"lag": 10**400})
        assert kernel.tune.report("ingest", objective=10**30, guards={"lag": 0})["applied"] == {"batch": 2}


def test_what_waits_is_answered() -> None:
    with Kernel() as kernel:
        policy: TunerPolicy = {**QUICK, "autonomy": "approve"}
        kernel.tune.add("ingest", {"knobs": [BATCH], "policy": policy})
        end = time.monotonic() + 60
        while "waiting" not in (status := kernel.tune.get("ingest")):
            kernel.tune.report("ingest", objective=52.0, guards={})
            assert time.monotonic() < end, status
        waiting = status["waiting"]
        status = kernel.tune.answer("ingest", waiting["trial"], approved=False, by="ann")
        assert status["history"][-1]["verdict"] == "denied"
        with pytest.raises(ValueError, match="does not wait"):
            kernel.tune.answer("ingest", waiting["trial"], approved=True)


def test_a_guard_finds_its_bound_out() -> None:
    with Kernel() as kernel:

        @kernel.agent(name="echo")
        def echo(number: int) -> int:
            return number

        with pytest.raises(sutazai.Invalid, match="value=65.*concurrency=64"):
            kernel.guards.set(bulkhead={"concurrency": 64, "adapt": {"initial": 65}})
        kernel.guards.set(bulkhead={"concurrency": 64, "adapt": {"initial": 4}})
        assert kernel.call("echo", 1) == 1
        status = {one["calls"]: one["status"] for one in kernel.guards.list()}["agent:echo"]
        assert status["bulkhead"]["adaptive"]["limit"] == 4
        assert status["bulkhead"]["adaptive"]["policy"]["max"] == 64


def test_a_pool_that_there_is_not() -> None:
    with Kernel() as kernel:
        assert kernel.tune.scaled() == []
        with pytest.raises(sutazai.NotFound, match="no pool"):
            kernel.tune.scale("workers", {"autonomy": "suggest", "policy": {"max": 8}})
        with pytest.raises(sutazai.NotFound, match="not scaled"):
            kernel.tune.unscale("workers")
        with pytest.raises(sutazai.NotFound):
            kernel.tune.answer_scaling("workers", 1, approved=True)


def test_what_is_scarce_is_divided() -> None:
    with Kernel() as kernel, kernel.subscribe("tune.share") as events:
        spec: sutazai.ShareSpec = {
            "units": 12,
            "members": {"writer": {}, "critic": {"floor": 2, "ceiling": 8}},
            "policy": {"rate": 1.0, "memory": 4.0},
            "every_ms": 100,
        }
        kernel.tune.share("tokens", spec)
        assert kernel.tune.shared()[0]["units"] == {"writer": 6, "critic": 6}
        until = time.monotonic() + 30
        while kernel.tune.shared()[0]["units"]["writer"] < 9:
            assert time.monotonic() < until, kernel.tune.shared()
            # The critic makes nothing of it.
            has = kernel.tune.shared()[0]["units"]
            assert sum(has.values()) == 12 and has["critic"] >= 2
            kernel.tune.report_benefits("tokens", {"writer": has["writer"], "critic": 0})
            time.sleep(0.02)
        [shared] = kernel.tune.shared()
        assert shared["beyond"] == shared["unplaced"] == 0 and isinstance(shared["agents"]["writer"]["differs"], bool)
        assert shared["rounds"] > 0 and set(shared["agents"]) == {"writer", "critic"}
        told = events.next(timeout=5)
        assert told is not None and told.payload["shares"] == "tokens"
        with pytest.raises(sutazai.Invalid):
            kernel.tune.report_benefits("tokens", {"nobody": 1})
        with pytest.raises(sutazai.Invalid):
            kernel.tune.answer_shares("tokens", 1, True, by="ann")
        kernel.tune.unshare("tokens")
        assert kernel.tune.shared() == []
