"""What a synchronous call costs from Python, with agents that do nothing.

    maturin build --release -m sutazai-py/Cargo.toml && pip install the wheel
    python benches/python_call.py

Rounds of the two are interleaved; the figure is the median round. Goal: 3 microseconds for a call of
an in-process Rust agent.
"""

import statistics
import time
from collections.abc import Callable

from sutazai import Kernel

ROUNDS = 61
CALLS = 5_000


def round_of(call: Callable[[str, int], object], skill: str) -> float:
    """Nanoseconds a call, over one round."""
    began = time.perf_counter_ns()
    for _ in range(CALLS):
        call(skill, 1)
    return (time.perf_counter_ns() - began) / CALLS


def empty(skill: str, input: int) -> object:
    """What the loop itself and a Python call cost, for comparison."""
    return input


def main() -> None:
    with Kernel() as kernel:
        kernel.add_echo_agent()
        kernel.agent(name="python", inline=True)(lambda value: value)
        rounds: dict[str, list[float]] = {"echo": [], "python": [], "empty": []}
        for _ in range(ROUNDS):
            for name, figures in rounds.items():
                call = empty if name == "empty" else kernel.call
                figures.append(round_of(call, name))
    ns = {name: round(statistics.median(figures)) for name, figures in rounds.items()}
    print(f"an empty Python function takes {ns['empty']} ns in this loop")
    goal = "goal=<=3us"
    print(f"bar python.call ours={ns['echo']}ns peer=- ratio=- {goal}")
    print(f"bar python.call_inline ours={ns['python']}ns peer=- ratio=- {goal}")


if __name__ == "__main__":
    main()
