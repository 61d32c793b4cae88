"""Fixtures of the Python host's tests."""

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sutazai import Kernel

# Nothing here takes so long; it bounds a hang.
HANG = 60.0

Run = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """A running kernel with everything in memory."""
    kernel = Kernel().start()
    yield kernel
    # Tests leave calls behind that nobody answers.
    kernel.stop(0.1)


@pytest.fixture
def run_python(tmp_path: Path) -> Run:
    """Runs a program in an interpreter of its own, warnings as errors."""

    def run(program: str) -> "subprocess.CompletedProcess[str]":
        script = tmp_path / "program.py"
        script.write_text(textwrap.dedent(program))
        return subprocess.run(
            [sys.executable, "-W", "error", str(script)],
            capture_output=True,
            text=True,
            timeout=HANG,
            check=False,
        )

    return run
