"""Checkpoints: state that is saved under a number, and put back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypedDict, cast

from sutazai import _sutazai
from sutazai._heal import check_plain

__all__ = ["Checkpoint", "CheckpointDetail", "CheckpointDiff", "CheckpointPart", "Checkpoints"]


class CheckpointPart(TypedDict):
    """What a checkpoint holds of one thing."""

    name: str
    digest: str
    """SHA-256 of its state's JSON text, in hexadecimal digits."""


class Checkpoint(TypedDict):
    """A checkpoint in a list."""

    id: int
    label: str
    taken: str
    """When: RFC 3339."""
    digest: str
    """Checkpoints of the same content have the same."""
    parts: list[CheckpointPart]
    """What it holds, in the order it is restored in."""


class CheckpointDetail(Checkpoint):
    """A checkpoint with the states it holds."""

    states: list[tuple[str, Any]]
    """By name, in the order they are restored in."""


class CheckpointDiff(TypedDict):
    """In what two checkpoints differ."""

    changed: list[str]
    added: list[str]
    """In the second only."""
    removed: list[str]
    """In the first only."""


# Within the class `list` is its method.
_List = list[Checkpoint]
_Names = list[str]


class Checkpoints:
    """A kernel's checkpoints: `kernel.checkpoints`. They hold what the program registers, and of the
    kernel its log's filter (`kernel.log`), all policies of its recovery (`recovery.policies`) and the
    level of degradation that it is forced to (`recovery.level`).

    Everything here waits for the store; where an asyncio loop runs, await the forms that begin with `a`.

    >>> import sutazai
    >>> with sutazai.Kernel() as kernel:
    ...     prompts = {"greeting": "hello"}
    ...     kernel.checkpoints.register("prompts", prompts.copy, prompts.update)
    ...     before = kernel.checkpoints.create("before the new prompts")
    ...     prompts["greeting"] = "yo"
    ...     kernel.checkpoints.diff(before["id"])["changed"]
    ...     kernel.checkpoints.restore(before["id"], only=["prompts"])
    ...     prompts
    ['prompts']
    ['prompts']
    {'greeting': 'hello'}
    """

    def __init__(self, kernel: _sutazai.Kernel) -> None:
        self._kernel = kernel

    def register(
        self,
        name: str,
        save: Callable[[], object],
        restore: Callable[[Any], object],
        *,
        needs: Sequence[str] = (),
    ) -> None:
        """Has something saved and restored. `save()` gives the whole state, as JSON has it;
        `restore(state)` takes on a state that `save` gave, now or in an earlier process. `needs` are the
        names of what is restored before it. Both are plain functions, no coroutine functions; they run on
        a thread of the kernel's or of the caller, and may block. When a restore raises, what was restored before it is put back."""
        check_plain("save", save)
        check_plain("restore", restore)
        self._kernel._add_checkpointed(name, needs, save, restore)

    def registered(self) -> _Names:
        """The names of what is registered, in the order of a restore."""
        return cast(_Names, self._kernel.invoke("recovery.checkpoint_list")["registered"])

    def create(self, label: str = "", *, only: Sequence[str] | None = None) -> Checkpoint:
        """Saves everything that is registered, or what is named."""
        answer = self._kernel.invoke("recovery.checkpoint_create", **_of(label=label, only=only))
        return cast(Checkpoint, answer)

    async def acreate(self, label: str = "", *, only: Sequence[str] | None = None) -> Checkpoint:
        """As `create`, awaited."""
        answer = await self._kernel.begin(
            "recovery.checkpoint_create", **_of(label=label, only=only)
        )
        return cast(Checkpoint, answer)

    def list(self) -> _List:
        """The checkpoints, newest first."""
        return cast(_List, self._kernel.invoke("recovery.checkpoint_list")["checkpoints"])

    async def alist(self) -> _List:
        """As `list`, awaited."""
        return cast(_List, (await self._kernel.begin("recovery.checkpoint_list"))["checkpoints"])

    def get(self, checkpoint: int) -> CheckpointDetail:
        """One with the states it holds."""
        answer = self._kernel.invoke("recovery.checkpoint_get", checkpoint=checkpoint)
        return cast(CheckpointDetail, answer)

    async def aget(self, checkpoint: int) -> CheckpointDetail:
        """As `get`, awaited."""
        answer = await self._kernel.begin("recovery.checkpoint_get", checkpoint=checkpoint)
        return cast(CheckpointDetail, answer)

    def diff(self, checkpoint: int, with_: int | None = None) -> CheckpointDiff:
        """In what one differs from another, or from the present state."""
        request = _of(checkpoint=checkpoint, **{"with": with_})
        return cast(CheckpointDiff, self._kernel.invoke("recovery.checkpoint_diff", **request))

    async def adiff(self, checkpoint: int, with_: int | None = None) -> CheckpointDiff:
        """As `diff`, awaited."""
        request = _of(checkpoint=checkpoint, **{"with": with_})
        return cast(
            CheckpointDiff, await self._kernel.begin("recovery.checkpoint_diff", **request)
        )

    def restore(
        self, checkpoint: int, *, only: Sequence[str] | None = None
    ) -> _Names:
        """Restores one, or what is named of it; gives the names of what was restored, in that order."""
        request = _of(checkpoint=checkpoint, only=only)
        answer = self._kernel.invoke("recovery.checkpoint_restore", **request)
        return cast(_Names, answer["restored"])

    async def arestore(
        self, checkpoint: int, *, only: Sequence[str] | None = None
    ) -> _Names:
        """As `restore`, awaited."""
        request = _of(checkpoint=checkpoint, only=only)
        answer = await self._kernel.begin("recovery.checkpoint_restore", **request)
        return cast(_Names, answer["restored"])

    def delete(self, checkpoint: int) -> bool:
        """Deletes one; says whether it was there."""
        answer = self._kernel.invoke("recovery.checkpoint_delete", checkpoint=checkpoint)
        return bool(answer["deleted"])

    async def adelete(self, checkpoint: int) -> bool:
        """As `delete`, awaited."""
        answer = await self._kernel.begin("recovery.checkpoint_delete", checkpoint=checkpoint)
        return bool(answer["deleted"])


def _of(**request: object) -> dict[str, object]:
    """A request without what was not said."""
    return {name: value for name, value in request.items() if value is not None}
