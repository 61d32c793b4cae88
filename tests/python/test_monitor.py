"""Measurements, their history, and what is odd in them."""

from __future__ import annotations

import math
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import sutazai
from sutazai import Kernel

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_a_sample_has_units_in_its_names() -> None:
    with Kernel() as kernel:
        sample = kernel.monitor.sample()
        assert sample["values"]["memory_total_bytes"] > 1e6
        assert sample["failures"] == {}
        assert kernel.monitor.status()["samples"] == 1
        names = [one["name"] for one in kernel.monitor.series("process_")]
        assert "process_resident_memory_bytes" in names


def test_windows_of_a_counter() -> None:
    with Kernel() as kernel:
        for seconds in range(120):
            kernel.monitor.record("jobs_total", 2 * seconds, START + timedelta(seconds=seconds))
        answer = kernel.monitor.query(
            "jobs_total", START + timedelta(seconds=1), START + timedelta(seconds=121), step=60, aggregate="rate"
        )
        assert [one["value"] for one in answer["windows"]] == pytest.approx([2.0, 2.0])
        middle = kernel.monitor.query("jobs_total", START, START + timedelta(minutes=2), quantile=0.5)
        assert middle["windows"][0]["value"] == 119.0
        with pytest.raises(sutazai.NotFound):
            kernel.monitor.query("none", START, START + timedelta(minutes=2))
        with pytest.raises(ValueError, match="NaN"):
            kernel.monitor.record("jobs_total", float("nan"))


def test_what_is_odd_is_told_once() -> None:
    with Kernel() as kernel:
        assert kernel.monitor.watch("queue_*")
        assert not kernel.monitor.watch("queue_*")
        for seconds in range(600):
            value = seconds * 37 % 101
            assert kernel.monitor.record("queue_length", value, START + timedelta(seconds=seconds)) is None
        found = kernel.monitor.record("queue_length", 5_000, START + timedelta(seconds=600))
        assert found is not None
        assert found["value"] == 5_000 and 20 < found["usual"] < 80
        assert kernel.monitor.anomalies() == [found]
        assert kernel.monitor.anomalies(found["number"]) == []
        assert kernel.monitor.unwatch("queue_*")


def test_samples_are_taken_by_itself_and_kept(tmp_path: Path) -> None:
    with Kernel(tmp_path / "data") as kernel:
        with kernel.subscribe("nothing"):
            kernel.monitor.sample_every(0.02)
            while kernel.monitor.status()["samples"] < 3:
                pass
        kernel.monitor.sample_every(None)
        assert kernel.monitor.status()["every_ms"] is None
    with Kernel(tmp_path / "data") as kernel:
        names = [one["name"] for one in kernel.monitor.series("process_")]
        assert "process_resident_memory_bytes" in names
        with pytest.raises(sutazai.SutazaiError, match="10 milliseconds"):
            kernel.monitor.sample_every(0.001)


def test_what_is_to_come() -> None:
    with Kernel() as kernel:
        for minute in range(900):
            at = START + timedelta(minutes=minute)
            kernel.monitor.record("load", 90 if minute % 60 < 30 else 10, at)
            kernel.monitor.record("leak_bytes", 2_000 + 10 * minute + minute * 7 % 13, at)
        end = START + timedelta(minutes=900)
        forecast = kernel.monitor.forecast("load", step=60, steps=60, until=end)
        assert forecast["seasons"] == [60]
        assert forecast["point"][10] == pytest.approx(90, abs=15)
        assert forecast["point"][40] == pytest.approx(10, abs=15)
        leak = kernel.monitor.exhaustion("leak_bytes", {"limit": 16_000}, until=end)
        assert leak["slope"] == pytest.approx(1 / 6, rel=0.1)
        load = kernel.monitor.exhaustion("load", {"limit": 1_000}, until=end)
        assert load["outlook"] == {"outlook": "stable"} and "slope" not in load
        assert leak["outlook"]["outlook"] == "runs_out"
        assert leak["outlook"]["at"].startswith("2026-01-01T23:")
        assert leak["outlook"]["at"] <= (leak["outlook"].get("trend") or "")
        with pytest.raises(sutazai.NotFound, match="monitor.exhaustion"):
            kernel.monitor.exhaustion("none", {})
        with pytest.raises(sutazai.Invalid, match="limit must be said"):
            kernel.monitor.exhaustion("leak_bytes")
        kernel.monitor.sample()
        policy = kernel.monitor.exhaustion("memory_used_ratio")["policy"]
        assert (policy["limit"], policy["direction"]) == (1.0, "fills")


def test_numbers_and_times_that_are_too_large_are_refused_as_such() -> None:
    with Kernel() as kernel:
        with pytest.raises(sutazai.Invalid, match="too large"):
            kernel.monitor.record("queue_length", 10**400)
        kernel.monitor.record("queue_length", 10**30)
        with pytest.raises(ValueError, match="2262-04-11"):
            kernel.monitor.record("queue_length", 1, "2300-01-01T00:00:00Z")
        kernel.add_monitor("odd", lambda: {"huge": 10**400})
        assert "too large" in kernel.monitor.sample()["failures"]["odd"]


def test_series_are_let_go_of() -> None:
    with Kernel() as kernel:
        for user in ("ann", "bob", "eve"):
            kernel.monitor.record(f'jobs{{user="{user}"}}', 1)
        status = kernel.monitor.status()["history"]
        assert status["held"] == status["points"] == 3
        assert status["families"] == [{"family": "jobs", "series": 3}] and status["refused"] == []
        assert status["others_most"] < status["most"]
        assert kernel.monitor.forget("jobs*", labels={"user": "bob"}) == 1
        assert kernel.monitor.forget("jobs*") == 2
        assert kernel.monitor.series("jobs") == []
        with pytest.raises(sutazai.Invalid, match="monitor.forget"):
            kernel.monitor.forget("a*b")
        with pytest.raises(sutazai.Invalid, match="not said which series") as error:
            kernel.monitor.forget("")
        assert "watched" not in str(error.value)
        # A star ends no name, and is one elsewhere.
        with pytest.raises(sutazai.Invalid, match="does not end in `\\*`"):
            kernel.monitor.record("jobs*", 1)
        kernel.monitor.record('hits{path="/*"}', 1)
        kernel.monitor.record('hits{path="/a"}', 1)
        assert kernel.monitor.forget('hits{path="/*"}') == 1
        after = kernel.monitor.status()
        assert (after["history"]["bad_names"], after["history"]["no_room"]) == (1, 0)
        assert after["removed"] == []


def test_numbers_that_are_too_large_are_told_with_their_range() -> None:
    huge = 10**400
    with Kernel() as kernel:
        kernel.monitor.record("queue_length", 3)
        for period in (86_401, huge, math.inf, timedelta(days=2)):
            with pytest.raises(ValueError, match="^period must be at most 86400 seconds, not "):
                kernel.monitor.sample_every(period)
        with pytest.raises(ValueError, match="^period must be 0 seconds or more, not -1000"):
            kernel.monitor.sample_every(-huge)
        with pytest.raises(ValueError, match="^step must be at most 562949.953 seconds"):
            kernel.monitor.forecast("queue_length", step=huge, steps=1)
        for start in (START, START + timedelta(seconds=1)):
            with pytest.raises(ValueError, match="^step must be at most 9223372036 seconds"):
                kernel.monitor.query("queue_length", start, START + timedelta(days=1), step=huge)
        for many in (2**64, 10**30, huge, -huge):
            with pytest.raises(sutazai.RequestInvalid, match='"steps" is out of range.*from 1 to 10000'):
                kernel.monitor.forecast("queue_length", step=60, steps=many)
            with pytest.raises(sutazai.RequestInvalid, match='"every_ms" is out of range.*from 10 to 86400000'):
                kernel.invoke("monitor.configure", every_ms=many)
            # Where it is no whole number that is wanted.
            with pytest.raises(ValueError, match=r'\$\["value"\]: int does not fit 64 bits; .* send a float'):
                kernel.invoke("monitor.record", series="queue_length", value=many)
        kernel.monitor.record("queue_length", 10**30)
        with pytest.raises(sutazai.Invalid, match="^value is too large: a float ends at about 1.8e308"):
            kernel.monitor.record("queue_length", huge)


def test_windows_and_levels_make_sense() -> None:
    with Kernel() as kernel:
        kernel.monitor.record("queue_length", 3, START)
        end = START + timedelta(minutes=1)
        assert len(kernel.monitor.query("queue_length", START, end)["windows"]) == 1
        for step in (0, 0.0001):
            with pytest.raises(sutazai.Invalid, match="leave it out for one window"):
                kernel.monitor.query("queue_length", START, end, step=step)
        for level in (0, 1, 7):
            with pytest.raises(sutazai.Invalid, match="above 0 and below 1"):
                kernel.monitor.plot("queue_length", until=end, level=level)


def test_a_series_is_drawn(tmp_path: Path) -> None:
    with Kernel(tmp_path / "data") as kernel:
        for minute in range(60):
            kernel.monitor.record("queue_length", minute % 7, START + timedelta(minutes=minute))
        until = START + timedelta(hours=1)
        svg = kernel.monitor.plot("queue_length", until=until)
        assert svg.startswith(b"<svg") and b"measured" in svg and b"expected" not in svg
        png = kernel.monitor.plot("queue_length", until=until, step=60, ahead=10, format="png", size=(400, 300))
        assert png[:8] == b"\x89PNG\r\n\x1a\n" and png[16:24] == bytes([0, 0, 1, 144, 0, 0, 1, 44])
        path = tmp_path / "queue.png"
        kernel.monitor.plot("queue_length", path, until=until)
        assert path.read_bytes()[:4] == b"\x89PNG"
        with pytest.raises(sutazai.SutazaiError, match="already"):
            kernel.monitor.plot("queue_length", path, until=until)
        kernel.monitor.plot("queue_length", path, until=until, format="svg", replace=True)
        assert path.read_bytes()[:4] == b"<svg"
        with pytest.raises(sutazai.SutazaiError, match="data directory"):
            kernel.monitor.plot("queue_length", tmp_path / "data" / "plot.svg", until=until)
        with pytest.raises(sutazai.NotFound, match="monitor.plot"):
            kernel.monitor.plot("none")
        for name in ("queue.pdf", "queue.jpg", "queue"):
            with pytest.raises(sutazai.Invalid, match=r"\.svg or \.png"):
                kernel.monitor.plot("queue_length", tmp_path / name, until=until)
            assert not (tmp_path / name).exists()
        kernel.monitor.plot("queue_length", tmp_path / "queue", until=until, format="png")
        assert (tmp_path / "queue").read_bytes()[:4] == b"\x89PNG"
        # As readable as what Python writes.
        (tmp_path / "any").write_text("")
        assert (tmp_path / "queue").stat().st_mode == (tmp_path / "any").stat().st_mode
        (tmp_path / "folder").mkdir()
        with pytest.raises(sutazai.AlreadyExists, match="there is a folder of this name"):
            kernel.monitor.plot("queue_length", tmp_path / "folder", until=until, format="svg", replace=True)


def test_a_slow_agent_holds_tasks_up() -> None:
    with Kernel() as kernel:

        @kernel.agent(name="slow", skills=["work"])
        def slow(number: int) -> int:
            time.sleep(0.02)
            return number

        for number in range(10):
            kernel.call("work", number)
        found = kernel.monitor.bottlenecks()
        assert found["tasks"] == 10
        assert found["ranked"][0]["component"] == "slow"
        assert found["ranked"][0]["evidence"]
        estimate = kernel.monitor.what_if("slow", {"faster": 0.5})
        assert estimate is not None and estimate["latency"] < 0.8
        with pytest.raises(sutazai.NotFound, match="did you mean 'slow'"):
            kernel.monitor.what_if("slwo", {"faster": 0.5})
        with pytest.raises(sutazai.Invalid, match="below 1"):
            kernel.monitor.what_if("slow", {"faster": 1.0})
        kernel.monitor.step("reading", 0.005)
        kernel.monitor.state_resource("budget", utilisation=0.5)
        assert "budget" in [one["name"] for one in kernel.monitor.bottlenecks()["resources"]]
        with pytest.raises(ValueError, match="a step has a name"):
            kernel.monitor.step("", 0.1)
        with pytest.raises(ValueError, match="not valid"):
            kernel.monitor.bottlenecks({"faster": 2.0})
