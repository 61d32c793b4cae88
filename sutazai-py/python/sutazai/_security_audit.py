"""What was decided and done, and proof of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict, cast

from sutazai._security_calls import Part, at

__all__ = [
    "Audit",
    "AuditCheckpoint",
    "AuditClass",
    "AuditDurability",
    "AuditEvidence",
    "AuditExported",
    "AuditFinding",
    "AuditLines",
    "AuditOutcome",
    "AuditPage",
    "AuditPersonal",
    "AuditProved",
    "AuditRecord",
    "AuditReport",
    "AuditSealed",
    "AuditStatus",
    "FoundAuditRecord",
]

AuditClass = Literal[
    "action",
    "decision",
    "authentication",
    "token",
    "revocation",
    "key",
    "override",
    "configuration",
    "deployment",
]
"""What kind of thing is recorded."""

AuditOutcome = Literal["success", "failure", "denied"]
"""How something ended."""

AuditDurability = Literal["memory", "process", "interval", "fsync"]
"""What a record survives before it is acknowledged."""


class AuditSealed(TypedDict):
    """Personal details as they are kept."""

    sealed: NotRequired[str]
    """The sealed details; only the subject's key opens them."""
    subject: str
    withheld: NotRequired[int]
    """How many there were, where there was nowhere to keep a key."""


AuditRecord = TypedDict(
    "AuditRecord",
    {
        "class": AuditClass,
        "action": str,
        "principal": str,
        "object": NotRequired[str],
        "outcome": AuditOutcome,
        "at": str,
        "trace": NotRequired[str],
        "span": NotRequired[str],
        "details": NotRequired[dict[str, bool | int | str]],
        "cut": NotRequired[dict[str, int]],
        "personal": NotRequired[AuditSealed],
    },
)
"""A record of the log. `cut` are details that were cut, and how many bytes they had."""


class FoundAuditRecord(AuditRecord):
    """A record and its number in the log."""

    index: int


class AuditPage(TypedDict):
    """Records that were found, the newest first."""

    records: list[FoundAuditRecord]
    next: int | None
    """Where to go on, if there is more to look at: `before` of the next query."""


class AuditCheckpoint(TypedDict):
    """A signed checkpoint: whoever keeps it finds out about every change of what is under it."""

    records: int
    root: str
    note: str
    """The checkpoint: a signed note (C2SP)."""
    key: str
    """The key that it is verified with."""


class AuditEvidence(TypedDict):
    """A record with all that proves that it is in the log. It is plain data, and may be kept as JSON."""

    form: str
    index: int
    record: str
    """The record's canonical bytes, which are a JSON text."""
    proof: list[str]
    """RFC 6962's audit path, deepest hash first."""
    checkpoint: str


class AuditProved(TypedDict):
    """What evidence proves."""

    record: AuditRecord
    records: int
    """How many records the checkpoint covers."""


class AuditFinding(TypedDict):
    """Something that is wrong with a log, or worth knowing."""

    file: str
    offset: NotRequired[int]
    record: NotRequired[int]
    what: str


class AuditReport(TypedDict):
    """What reading the whole log anew gave."""

    records: int
    root: str | None
    journal: int
    """Records in the journal that are not under a checkpoint yet."""
    continues: int | None
    """Records of the checkpoint that was kept, if this log's first records are those."""
    findings: list[AuditFinding]
    """What is wrong."""
    more: int
    """How many more there were."""
    notes: list[AuditFinding]
    """What is not wrong but worth knowing."""


class AuditLines(TypedDict):
    """Records for other programs."""

    lines: list[str]
    next: NotRequired[int]
    """The number of the next record, where there are more."""


class AuditExported(TypedDict):
    """Records that were written into a file."""

    records: int
    next: int
    """The number of the next record, for the next file."""


class AuditPersonal(TypedDict):
    """The personal details of a record."""

    subject: NotRequired[str]
    personal: NotRequired[dict[str, Any]]
    """The details; absent where they were erased, or never there."""


class AuditStatus(TypedDict):
    """Figures of the audit log."""

    place: str
    """The folder, or `memory`."""
    key: str
    """The public key, as the verification tool takes it."""
    records: int
    synced: int
    checkpointed: int
    first: int
    """The first that is still kept."""
    segments: int
    journal_bytes: int
    waiting: int
    taken: int
    refused: int
    withheld: int
    pruned: int
    syncs: int
    checkpoints: int
    failures: int
    last_failure: NotRequired[str]


class Audit(Part):
    """A kernel's audit log: `kernel.security.audit`. Records cannot be changed without it being seen by whoever
    keeps a checkpoint.

    >>> import sutazai
    >>> with sutazai.Kernel() as kernel:
    ...     audit = kernel.security.audit
    ...     index = audit.record("configuration", "site.opened", "ann")
    ...     evidence = audit.prove(index)
    ...     audit.check(evidence, key=audit.checkpoint()["key"])["record"]["action"]
    'site.opened'
    """

    def record(
        self,
        kind: AuditClass,
        action: str,
        principal: str,
        *,
        object: str = "",
        outcome: AuditOutcome = "success",
        details: Mapping[str, str] | None = None,
        personal: Mapping[str, str] | None = None,
    ) -> int:
        """Puts something of the program's on the record; gives its number when it is as durable as its class demands.
        `personal` are details about the principal that can be erased later. No secret belongs here."""
        request = {
            "class": kind,
            "action": action,
            "principal": principal,
            "object": object,
            "outcome": outcome,
            "details": dict(details or {}),
            "personal": dict(personal or {}),
        }
        return int(self._do("audit_record", **request)["index"])

    def query(
        self,
        *,
        principal: str | None = None,
        object: str | None = None,
        action: str | None = None,
        kind: AuditClass | None = None,
        outcome: AuditOutcome | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> AuditPage:
        """Records by what is said, newest first, page by page: `before` is `next` of the page before."""
        request = {
            "principal": principal,
            "object": object,
            "action": action,
            "class": kind,
            "outcome": outcome,
            "from": at(since),
            "until": at(until),
            "before": before,
            "limit": limit,
        }
        return cast(AuditPage, self._do("audit_query", **request))

    # ---- proof ----

    def checkpoint(self) -> AuditCheckpoint:
        """A signed checkpoint over all that is on the record by now. Keep it elsewhere."""
        return cast(AuditCheckpoint, self._do("audit_checkpoint"))

    def prove(self, index: int) -> AuditEvidence:
        """Evidence that a record is in the log."""
        return cast(AuditEvidence, self._do("audit_prove", index=index))

    def check(self, evidence: AuditEvidence, *, key: str | None = None) -> AuditProved:
        """Whether evidence proves what it says, under this kernel's key or another one; raises `SecurityError` when it
        does not."""
        return cast(AuditProved, self._do("audit_check", evidence=evidence, key=key))

    def verify(self, checkpoint: str | None = None) -> AuditReport:
        """Reads the whole log anew, and holds a checkpoint that was kept (its `note`) against it. Needs a data
        directory."""
        return cast(AuditReport, self._do("audit_verify", checkpoint=checkpoint))

    # ---- for other programs ----

    def export(
        self,
        *,
        format: Literal["json_lines", "cef"] = "json_lines",
        first: int = 0,
        limit: int = 100,
    ) -> AuditLines:
        """Records for other programs, oldest first, page by page: `first` is `next` of the page before."""
        request = {"format": format, "from": first, "limit": limit}
        return cast(AuditLines, self._do("audit_export", **request))

    def export_file(
        self,
        path: str | os.PathLike[str],
        *,
        format: Literal["json_lines", "cef"] = "json_lines",
        first: int = 0,
        until: int | None = None,
        replace: bool = False,
    ) -> AuditExported:
        """Writes records for other programs into a file, which is there as a whole or not at all."""
        request = {
            "path": os.fspath(path),
            "format": format,
            "from": first,
            "until": until,
            "replace": replace,
        }
        return cast(AuditExported, self._do("audit_export_file", **request))

    # ---- how it is kept ----

    def durability(self) -> dict[AuditClass, AuditDurability]:
        """What records of each class survive before they are acknowledged."""
        classes = self._do("audit_durability")["classes"]
        return {one["class"]: one["durability"] for one in classes}

    def set_durability(self, kind: AuditClass, durability: AuditDurability, *, by: str) -> None:
        """Changes that for one class, until the kernel ends."""
        request = {"class": kind, "durability": durability, "by": by}
        self._do("audit_durability_set", **request)

    # ---- personal details ----

    def personal(self, index: int, *, by: str) -> AuditPersonal:
        """The personal details of a record, unless they were erased. Who looks at them is on the record."""
        return cast(AuditPersonal, self._do("audit_personal", index=index, by=by))

    def erase(self, subject: str, *, by: str) -> bool:
        """Destroys the key of somebody's personal details; the log still verifies. Says whether there was one."""
        return bool(self._do("audit_erase", subject=subject, by=by)["erased"])
