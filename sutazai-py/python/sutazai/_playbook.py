"""Playbooks: on this condition, do that; within bounds, and on the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict, TypeVar, cast

from sutazai import _sutazai
from sutazai._heal import check_plain, mapping, name_of, now

__all__ = [
    "ActionContext",
    "ActionView",
    "Comparison",
    "Condition",
    "Escalation",
    "EventMatch",
    "Playbook",
    "PlaybookEntry",
    "PlaybookPolicy",
    "PlaybookView",
    "Playbooks",
    "SignalMatch",
]

_F = TypeVar("_F", bound="Callable[[ActionContext], object]")


class ActionContext(NamedTuple):
    """What an action may know of the playbook that asks for it."""

    action: str
    """The action's name."""
    params: Any
    """Its parameters as the playbook has them, filled in."""
    playbook: str
    """The playbook's name."""
    entry: int
    """The number of its entry in the record."""
    trigger: Any
    """What set it off: `{"event": {"subject", "payload"}, "signals": {…}}`, either of them."""
    at: str
    """When, by the kernel's clock: RFC 3339."""


class Comparison(TypedDict):
    """What must be true of one field of an event."""

    at: str
    """Which: a JSON pointer, "" for the whole payload."""
    op: Literal["eq", "ne", "lt", "le", "gt", "ge", "contains", "exists"]
    value: NotRequired[Any]


class EventMatch(TypedDict):
    """An event came."""

    subject: str
    """A pattern of subjects, with `*` and `>`."""
    fields: NotRequired[Sequence[Comparison]]
    """What must be true of its payload, all of it."""


class SignalMatch(TypedDict):
    """A signal compares so; `kernel.signal` feeds them in."""

    name: str
    op: Literal["eq", "ne", "lt", "le", "gt", "ge"]
    value: float


class AllOf(TypedDict):
    """All of these hold."""

    all: Sequence[Condition]


class AnyOf(TypedDict):
    """One of these holds, or more."""

    any: Sequence[Condition]


#: This does not hold; no event may stand in it.
NotOf = TypedDict("NotOf", {"not": "Condition"})


class OnEvent(TypedDict):
    """Such an event came."""

    event: EventMatch


class OnSignal(TypedDict):
    """A signal compares so."""

    signal: SignalMatch


#: When a playbook applies.
Condition = AllOf | AnyOf | NotOf | OnEvent | OnSignal


class Escalation(TypedDict):
    """What is done when an action failed."""

    action: str
    params: NotRequired[Any]


class Playbook(TypedDict):
    """On this condition, do that."""

    name: str
    when: Condition
    action: str
    """One of the kernel's or of the program's own, which `kernel.playbooks.actions()` lists."""
    params: NotRequired[Any]
    """A text `$/…` in them stands for what the event has at this JSON pointer, `$subject` for its
    subject."""
    description: NotRequired[str]
    enabled: NotRequired[bool]
    for_ms: NotRequired[int]
    """The condition must have held for so long. Default 0."""
    cooldown_ms: NotRequired[int]
    """How long it rests after an action. Default 60,000."""
    max_actions: NotRequired[int]
    """Actions in `window_ms`. Default 3."""
    window_ms: NotRequired[int]
    """Default 3,600,000."""
    dry_run: NotRequired[bool]
    """Whether it only says what it would do. Default False."""
    approval_ms: NotRequired[int]
    """Somebody has to approve it, within so long. Default: nobody has to."""
    escalate: NotRequired[Escalation]


class PlaybookPolicy(TypedDict, total=False):
    """The playbooks, and what bounds all of them together."""

    playbooks: Sequence[Playbook]
    max_actions: int
    """Actions of all of them in `window_ms`. Default 20."""
    window_ms: int
    """Default 3,600,000."""
    concurrency: int
    """Actions under way at once. Default 4."""
    dry_run: bool
    """Whether nothing is really done, whatever a playbook says. Default False."""
    record: int
    """Entries of the record that are kept. Default 256."""
    silent_ms: int
    """A signal that was not fed in for so long says nothing; 0 for never. Default 60,000."""


class PlaybookEntry(TypedDict):
    """An entry of the record: what was done and why, or what was refused and why."""

    id: int
    playbook: str
    action: str
    params: Any
    dry_run: bool
    trigger: Any
    at: str
    state: Literal["pending", "running", "done", "failed", "refused", "denied", "expired"]
    escalation_of: NotRequired[int]
    by: NotRequired[str]
    """Who approved or denied it."""
    ended: NotRequired[str]
    expires: NotRequired[str]
    """Of one that is pending."""
    answer: NotRequired[Any]
    """What the action gave."""
    error: NotRequired[dict[str, Any]]
    """What it failed with."""
    reason: NotRequired[
        Literal[
            "cooling_down",
            "under_way",
            "waits_for_approval",
            "playbook_limit",
            "overall_limit",
            "busy",
        ]
    ]
    """Why it was refused."""
    times: NotRequired[int]
    """How often in a row."""


class PlaybookView(TypedDict):
    """A playbook and where it stands."""

    playbook: Playbook
    used: int
    """Actions of the present window."""
    rests_ms: int
    """How long until it may act again."""
    known: bool
    """Whether its actions are registered."""
    under_way: NotRequired[int]
    pending: NotRequired[int]


class ActionView(TypedDict):
    """An action that playbooks can name."""

    name: str
    schema: Any


_Views = list[PlaybookView]
_Actions = list[ActionView]
_Entries = list[PlaybookEntry]


class Playbooks:
    """A kernel's playbooks: `kernel.playbooks`.

    >>> import sutazai
    >>> with sutazai.Kernel(clock="virtual") as kernel:
    ...     @kernel.playbooks.action()
    ...     def drop_cache(context):
    ...         return f"dropped {context.params['of']}"
    ...     kernel.playbooks.set_policy({"playbooks": [{
    ...         "name": "full disk",
    ...         "when": {"event": {"subject": "disk.full"}},
    ...         "action": "drop_cache",
    ...         "params": {"of": "$/of"},
    ...     }]})
    ...     delivered = kernel.publish("disk.full", {"of": "images"})
    ...     ran = kernel.advance(1)
    ...     [(entry["playbook"], entry["answer"]) for entry in kernel.playbooks.record()]
    [('full disk', 'dropped images')]
    """

    def __init__(self, kernel: _sutazai.Kernel) -> None:
        self._kernel = kernel

    def action(
        self,
        name: str | None = None,
        *,
        schema: Mapping[str, object] | None = None,
        dry_run: Callable[[ActionContext], object] | None = None,
    ) -> Callable[[_F], _F]:
        """Makes a function an action that playbooks can name; gives the function back.

        `f(context)` does it, on a thread of the kernel's pool; what it returns stands in the record, and
        so does what it raises, which leads to the playbook's escalation. In a dry run it is not called:
        `dry_run(context)` says what it would do, and without it the record says that it would be
        done. Both are plain functions, no coroutine functions. The name is the function's; `schema` is
        the JSON Schema of its parameters, for people.
        """

        if callable(name):
            raise TypeError("write @kernel.playbooks.action(), with its parentheses")

        def register(function: _F) -> _F:
            check_plain("an action", function)
            if dry_run is not None:
                check_plain("a dry run", dry_run)
            self._kernel._add_action(
                name_of(name, function),
                dict(schema) if schema is not None else {},
                lambda *fields: function(ActionContext(*fields)),
                None if dry_run is None else lambda *fields: dry_run(ActionContext(*fields)),
            )
            return function

        return register

    @property
    def policy(self) -> PlaybookPolicy:
        """The playbooks and bounds in force."""
        return cast(PlaybookPolicy, now(self._kernel, "recovery.policies")["playbooks"])

    def set_policy(self, policy: PlaybookPolicy) -> None:
        """Takes other playbooks and bounds; what they did counts on.

        While the kernel runs, an action whose name is nearly that of a registered one is refused as misspelt
        (`NotFound`). Any other may still be registered; until then `list` says that it is not known.
        """
        now(self._kernel, "recovery.playbook_set_policy", policy=mapping("policy", policy))

    def list(self) -> _Views:
        """The playbooks and where they stand."""
        answer = now(self._kernel, "recovery.playbook_list")
        return cast(_Views, answer["playbooks"])

    def actions(self) -> _Actions:
        """The actions that playbooks can name, sorted by name."""
        answer = now(self._kernel, "recovery.playbook_list")
        return cast(_Actions, answer["actions"])

    def record(self, limit: int = 100) -> _Entries:
        """What playbooks did and why; the newest, oldest first."""
        answer = now(self._kernel, "recovery.playbook_record", limit=limit)
        return cast(_Entries, answer["entries"])

    def approve(self, entry: int, *, by: str = "host") -> None:
        """Says yes to an entry that waits for approval; its action begins. Raises `NotFound` for one
        that is not there, `RecoveryError` for one that does not wait (any more)."""
        now(self._kernel, "recovery.playbook_approve", entry=entry, by=by)

    def deny(self, entry: int, *, by: str = "host") -> None:
        """Says no to an entry that waits for approval. Raises as `approve` does."""
        now(self._kernel, "recovery.playbook_deny", entry=entry, by=by)
