"""What docs/tuning.md and docs/monitoring.md print in Python is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sutazai

DOCS = Path(__file__).parents[2] / "docs"


class Enough(Exception):
    """Ends a loop that has no end."""


def blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)


def test_each_block_runs() -> None:
    sizes: list[int] = []

    def ingest(size: int) -> tuple[float, float]:
        if len(sizes) == 3:
            raise Enough
        sizes.append(size)
        return 1 / size, 180

    with sutazai.Kernel() as kernel:
        for name in ("writer", "critic"):
            kernel.guards.set(agent=name, bulkhead={"concurrency": 8})
        template = {"name": "worker", "skills": ["work"], "make": {"factory": "nobody"}}
        kernel.invoke("agent.template_add", template=template)
        kernel.invoke("agent.pool_add", name="workers", template="worker", policy={"min": 0})
        assert len(blocks("tuning.md")) == 3
        for block in blocks("tuning.md"):
            code = compile(block, "docs/tuning.md", "exec")
            if "while True" in block:
                with pytest.raises(Enough):
                    exec(code, {"kernel": kernel, "ingest": ingest})
            else:
                exec(code, {"kernel": kernel})
        assert sizes == [16, 16, 16], "nothing is tried before its time"
        assert [tuner["name"] for tuner in kernel.tune.tuners()] == ["ingest"]
        assert [pool["pool"] for pool in kernel.tune.scaled()] == ["workers"]
        assert [shared["name"] for shared in kernel.tune.shared()] == ["calls"]


def test_the_calls_of_each_host() -> None:
    page = (DOCS / "tuning.md").read_text()
    [called] = re.findall(r'`(kernel\.invoke\("tune\.get", tuner="ingest"\))`; or `(kernel\.tune\.get\("ingest"\))`', page)
    with sutazai.Kernel() as kernel:
        knob: sutazai.TunedKnob = {"name": "batch", "kind": {"type": "integer", "low": 1, "high": 9}, "value": 2}
        kernel.tune.add("ingest", {"knobs": [knob]})
        for call in called:
            assert eval(call, {"kernel": kernel})["name"] == "ingest"
        period = re.search(r"\| Python \| `(kernel\.monitor\.sample_every\(1\))`", (DOCS / "monitoring.md").read_text())
        assert period is not None
        eval(period[1], {"kernel": kernel})
        assert kernel.monitor.status()["every_ms"] == 1_000
