"""The examples that show how it is done run, and show what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

SHOWS = {
    "quickstart.py": ["fetched: 50", "agent: count 1 calls"],
    "discovery.py": [
        "shout: HELLO",
        "changed: ['shout']",
        "found: ['counter']\ncount: 5",
        "skils",
        "gone: ['counter']",
    ],
    "create.py": [
        "explained: guesser chosen",
        'explained: server refused the program "units-server" is not there',
        "tried: guesser it does not pass its probe: 1000 is wanted, not 900",
        "created: table-1 right",
        "answer: 3218.688",
        "not made: ",
        "pool: has grown",
    ],
    "lives.py": [
        "first life: 1 2",
        "it died: agent.exited",
        "second life: 1",
        "restarts: 1",
        "ready → failed for it has ended: ",
        "made of a template: 7 8",
    ],
    "security.py": [
        "password: next, one of ['totp']",
        "totp: done, ann",
        "ann reads: read the plan",
        "ann deletes: security.denied",
        "the clerk reads: read the plan",
        "the clerk mails: security.denied",
        "rotated: decrypted b'buy milk', 2 keys",
        "proved: ann's deletion was denied",
        "verified: 0 findings",
    ],
    "monitoring.py": [
        "a sample: queue_length 3, one of",
        "an anomaly: spike of jobs_per_s, 90 where 20 is usual",
        "a forecast: 20 jobs a second in ten minutes",
        "exhaustion: the disk runs_out in ",
        "health: ",
        "adopted: batch ",
        "rolled back: batch ",
        "latency was 900, 250 at most",
        "on the audit record: ",
    ],
    "recovery.py": [
        "guarded calls: {'hello'} breaker of first: open",
        "a guarded function: page after 3 tries",
        "classified: transient by http.retry_after, wait 7000",
        "supervision: done ['a', 'b'] set aside after 2 kills",
        "rollback: {'greeting': 'hello'} undone: ['seat 7']",
        "degradation: reduced search: {'reduced': {'results': 10}}",
        "isolation: quarantined because of crash_loop then healthy",
        "playbooks: drop_caches answered: 3 caches dropped",
        "failsafe: safe ['close_valve', 'stop_admitting', 'drain', 'flush', 'dump']",
    ],
}


@pytest.mark.parametrize("name", SHOWS)
def test_an_example_shows_what_it_says(name: str) -> None:
    ran = subprocess.run(
        [sys.executable, EXAMPLES / name], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for line in SHOWS[name]:
        assert line in ran.stdout
