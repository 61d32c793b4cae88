"""What is measured, what is odd in it and what is to come; and a knob that finds its value within a guard-rail.

`python examples/monitoring.py`
"""

import random
import time
from datetime import UTC, datetime, timedelta

import sutazai


def a_monitor_of_your_own(kernel: sutazai.Kernel) -> None:
    """Asked in each sample, beside the machine and the process."""
    waiting = ["a", "b", "c"]
    kernel.add_monitor("queue", lambda: {"queue_length": len(waiting)})
    values = kernel.monitor.sample()["values"]
    print(f"a sample: queue_length {values['queue_length']:.0f}, one of {len(values)} series")


def the_past(kernel: sutazai.Kernel) -> None:
    """Five hours of the past, a point a minute, as another program would have written them down. In real life
    `kernel.monitor.sample_every(1)` does it."""
    chance = random.Random(1)
    kernel.monitor.watch("jobs_per_s")
    began = datetime.now(UTC) - timedelta(minutes=300)
    for minute in range(300):
        at = began + timedelta(minutes=minute)
        jobs = 90.0 if minute == 280 else 20 + chance.gauss(0, 1)
        kernel.monitor.record("jobs_per_s", jobs, at=at)
        kernel.monitor.record("disk_used_gigabytes", 400 + 0.3 * minute + chance.gauss(0, 0.5), at=at)


def what_is_odd(kernel: sutazai.Kernel) -> None:
    """An event of the bus (`monitor.anomaly`) and a warning of the log as well."""
    for found in kernel.monitor.anomalies():
        says = f"{found['value']:.0f} where {found['usual']:.0f} is usual"
        print(f"an anomaly: {found.get('kind')} of {found['series']}, {says}")


def what_is_to_come(kernel: sutazai.Kernel) -> None:
    """How a series goes on, and when a resource is used up."""
    forecast = kernel.monitor.forecast("jobs_per_s", step=60, steps=10)
    [interval] = forecast["intervals"]
    between = f"{interval['lower'][-1]:.0f} to {interval['upper'][-1]:.0f}"
    print(f"a forecast: {forecast['point'][-1]:.0f} jobs a second in ten minutes, {between}")
    outlook = kernel.monitor.exhaustion("disk_used_gigabytes", {"limit": 500})["outlook"]
    left = datetime.fromisoformat(outlook["at"]) - datetime.now(UTC)
    print(f"exhaustion: the disk {outlook['outlook']} in {left.total_seconds() / 60:.0f} minutes")


def how_it_is(kernel: sutazai.Kernel) -> None:
    """The machine, this process and the agents, from 1 to 0, with what it comes from."""
    health = kernel.monitor.health()
    causes = [cause["aspect"] for cause in health["causes"]]
    print(f"health: {health['score']:.2f} of 1, because of {causes or 'nothing'}")


def a_knob_finds_its_value(kernel: sutazai.Kernel) -> None:
    """Larger batches cost less a row, until memory is short: beyond 24 they are late. The tuner does not know that."""
    knob: sutazai.TunedKnob = {"name": "batch", "kind": {"type": "integer", "low": 1, "high": 64, "scale": "log"}, "value": 4}
    policy: sutazai.TunerPolicy = {
        "autonomy": "act",
        "guards": [{"metric": "latency", "side": "at_most", "bound": 250}],
        # Short, as this is an example: in real life seconds and minutes.
        "warm_up_ms": 0,
        "window_ms": 10,
        "cool_down_ms": 0,
    }
    kernel.tune.add("ingest", {"knobs": [knob], "policy": policy})
    batch, ends = 4, time.monotonic() + 60
    while True:
        cost, latency = 100 / batch, 80 if batch <= 24 else 900
        batch = int(kernel.tune.report("ingest", cost, {"latency": latency})["applied"]["batch"])
        status = kernel.tune.get("ingest")
        if (status["adopted"] and status["broken"]) or time.monotonic() > ends:
            break
        time.sleep(0.001)
    for trial in status["history"]:
        tried, against = trial["setting"]["batch"], trial["against"]["batch"]
        if trial["verdict"] == "adopted":
            print(f"adopted: batch {tried} in place of {against}, a row costs {trial['gain']:.0f} less")
        if trial["verdict"] == "guard_broken":
            broken = trial["broken"]
            says = f"{broken['metric']} was {broken['value']:.0f}, {broken['bound']:.0f} at most"
            print(f"rolled back: batch {tried} to {against}, {says}")
    records = kernel.security.audit.query(action="tune.trial")["records"]
    print("on the audit record:", len(records), "trials")


with sutazai.Kernel() as kernel:
    a_monitor_of_your_own(kernel)
    the_past(kernel)
    what_is_odd(kernel)
    what_is_to_come(kernel)
    how_it_is(kernel)
    a_knob_finds_its_value(kernel)
