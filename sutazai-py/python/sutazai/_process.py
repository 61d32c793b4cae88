"""What happens to kernels after a fork and at the interpreter's exit."""

from __future__ import annotations

import atexit
import os
import weakref
from typing import TYPE_CHECKING

from sutazai import _loop
from sutazai._sutazai import _close_gate, _forked

if TYPE_CHECKING:
    from sutazai._kernel import Kernel

_running: weakref.WeakSet[Kernel] = weakref.WeakSet()

# What runs when the interpreter exits gets this long to finish, in seconds.
_EXIT_GRACE = 0.5
# And loops whose kernels had been stopped before get this long to end, in seconds.
_LOOPS_GRACE = 2.0


def opened(kernel: Kernel) -> None:
    _running.add(kernel)


def running() -> list[Kernel]:
    """The kernels that were started and not stopped."""
    return list(_running)


def closed(kernel: Kernel) -> None:
    _running.discard(kernel)


def _after_fork_in_child() -> None:
    global _running
    _forked()
    _loop._after_fork_in_child()
    # The parent's kernels have no threads here; nothing of theirs is stopped.
    _running = weakref.WeakSet()


def _at_exit() -> None:
    """Ends every kernel, then keeps their threads from touching an interpreter that is going."""
    for kernel in list(_running):
        try:
            kernel.stop(_EXIT_GRACE)
        except Exception:
            # There is nobody left to tell.
            pass
    _loop._join_left_behind(_LOOPS_GRACE)
    _close_gate()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
