"""Plugins: entry points in the group `sutazai.plugins`, each a function that gets the kernel."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

GROUP = "sutazai.plugins"


def plugins() -> dict[str, EntryPoint]:
    """The installed plugins by name; nothing is imported before `EntryPoint.load`."""
    return {point.name: point for point in entry_points(group=GROUP)}
