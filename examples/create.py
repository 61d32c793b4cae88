"""Agents that are made when they are wanted: templates, the choice among them, probes, and a pool."""

import time

import sutazai

UNIT = {"to_metres": {"description": "converts a length", "probe": {"input": [1, "km"], "equals": 1000}}}
METRES = {"m": 1, "km": 1000, "mile": 1609.344}


def main() -> None:
    with sutazai.Kernel() as kernel:

        @kernel.template(skills=["to_metres"], about=UNIT, cost=0.0, requires={"executables": ["units-server"]})
        def server():
            """Would be the best, but its program is not installed."""
            raise RuntimeError("never called")

        @kernel.template(skills=["to_metres"], about=UNIT, cost=0.001)
        def guesser():
            """Cheap, and wrong: its probe finds out."""
            return lambda length: round(length[0] * 900)

        @kernel.template(
            skills=["to_metres"],
            about=UNIT,
            cost=0.01,
            concurrency=1,
            parameters={"digits": {"schema": {"type": "integer", "minimum": 0}, "default": 3}},
        )
        def table(digits):
            """Looks it up, one length at a time."""

            def to_metres(length):
                time.sleep(0.02)
                return round(length[0] * METRES[length[1]], digits)

            return to_metres

        for it in kernel.templates.explain("to_metres", {"max_cost": 0.1})["considered"]:
            reasons = [reason["why"] for reason in it["reasons"]]
            print("explained:", it["template"], it["verdict"], *reasons)

        created = kernel.create("to_metres")
        for it in created["failed"]:
            print("tried:", it["template"], it["error"]["message"])
        print("created:", created["agent"], created["probe"]["verdict"])
        print("answer:", kernel.call("to_metres", [2, "mile"]))

        try:
            kernel.create("to_metres", {"max_latency_ms": 1, "labels": {"place": "here"}})
        except sutazai.NotMade as error:
            print("not made:", len(error.problems) - 1, "reasons")

        kernel.pools.add("tables", "table", {"max": 4, "grow_after_ms": 100})
        deadline = time.monotonic() + 30
        while kernel.pools.list()[0]["target"] < 2 and time.monotonic() < deadline:
            try:
                list(kernel.map("to_metres", [[n, "km"] for n in range(50)], side_by_side=8))
            except sutazai.Overloaded:
                pass  # more want an answer than there are agents: the pool hears of it
        pool = kernel.pools.list()[0]
        print("pool:", "has grown" if pool["target"] > 1 else "has not grown")


if __name__ == "__main__":
    main()
