"""Agents that are found: by a source of one's own, and in a directory in which a file declares one.

pip install sutazai && python discovery.py
"""

import json
import sys
import tempfile
from pathlib import Path

import sutazai

PROGRAM = """
import json, sys
def say(**message): print(json.dumps({"v": 1, **message}), flush=True)
say(type="ready")
for line in sys.stdin:
    task = json.loads(line)
    if task["type"] == "task": say(type="result", id=task["id"], output=len(task["input"]))
    elif task["type"] == "stop": break
"""


class Shelf:
    """What is there at present; a registry, a table, a service."""

    def __init__(self) -> None:
        self.versions = {"shout": "1"}

    def find(self) -> list[sutazai.FoundAgent]:
        return [
            sutazai.FoundAgent(
                name,
                make=lambda version=version: sutazai.AgentSpec(shout, version=version),
                fingerprint=version,
            )
            for name, version in self.versions.items()
        ]


def shout(text: str) -> str:
    return text.upper()


def main() -> None:
    shelf = Shelf()
    with tempfile.TemporaryDirectory() as directory, sutazai.Kernel() as kernel:
        discovery = kernel.discovery
        # Every 30 and every 2 seconds unless told otherwise; here when asked, to show the same each time.
        asked: sutazai.DiscoveryPolicy = {"interval_ms": 3_600_000}
        discovery.add("shelf", shelf, asked)
        discovery.add_directory("local", directory, asked)
        discovery.add_entry_points()  # of installed packages: the group sutazai.agents
        discovery.look()
        print("shout:", kernel.call("shout", "hello"))

        # Another version takes over; the one before stands by.
        shelf.versions["shout"] = "2"
        print("changed:", discovery.look("shelf")[0]["changed"])

        declared = {
            "card": {"name": "counter", "skills": ["count"]},
            "process": {"command": [sys.executable, "-c", PROGRAM]},
        }
        file = Path(directory, "counter.json")
        file.write_text(json.dumps(declared))
        print("found:", discovery.look("local")[0]["added"])
        print("count:", kernel.call("count", "hello"))

        file.write_text('{"card": {"name": "counter", "skils": []}}')
        [wrong] = discovery.look("local")[0]["failed"]
        print("wrong:", wrong["error"]["message"])
        file.unlink()
        print("gone:", discovery.look("local")[0]["removed"])


if __name__ == "__main__":
    main()
