"""Classification: whether a failure is transient, persistent or critical, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal, Required, TypedDict, cast

from sutazai import _sutazai
from sutazai._heal import mapping, now

__all__ = [
    "Classification",
    "ClassifyPolicy",
    "FailureFacts",
    "HistoryPolicy",
    "Rule",
    "Verdict",
]

# `class` is a word of Python's, so that these are no classes.
Rule = TypedDict(
    "Rule",
    {
        # What a verdict calls it; no two have the same.
        "name": Required[str],
        # What a failure is that all conditions fit; one condition at least must be given.
        "class": Required[Literal["transient", "persistent", "critical"]],
        # How long to wait before trying again; for what is transient.
        "retry_after_ms": int,
        # One of the library's codes by name or number, or a family of them: `store.failed`, `"3004"`, `store`.
        "code": str,
        # Text that stands in the message, a cause or the standard error; `*` stands for anything.
        "text": str,
        # 429, "500-599", "5xx", "502, 503"
        "http_status": int | str,
        "exit_status": int | str,
        # "SIGTERM" or "15"
        "signal": str,
        # The type of an exception or one of its bases: `ConnectTimeout`, `httpx.*`.
        "exception": str,
        # A provider's type or code of error: `overloaded_error`.
        "provider": str,
    },
    total=False,
)
Rule.__doc__ = "A rule of the program's: a failure that all of its conditions fit is of its class."

FailureFacts = TypedDict(
    "FailureFacts",
    {
        "code": str | int,
        "class": Literal["transient", "persistent", "critical"],
        "message": str,
        "causes": Sequence[str],
        "http_status": int,
        "headers": Mapping[str, str],
        # The value of the header `Retry-After`, as it came: seconds or a date.
        "retry_after": str,
        # The protocol that `rpc_code` belongs to.
        "rpc": str,
        "rpc_code": int | str,
        "exit_status": int,
        "signal": int | str,
        "stderr": str,
        "errno": int | str,
        "exception": str,
        "bases": Sequence[str],
        "provider_type": str,
        "provider_code": str,
        "sqlstate": str,
    },
    total=False,
)
FailureFacts.__doc__ = "What is known of a failure; all of it may be missing."


class HistoryPolicy(TypedDict, total=False):
    """When a transient failure that keeps coming back is persistent."""

    times: int
    """Times in a row that it has to be seen. Default 12."""
    over_ms: int
    """Over how long at least. Default 120,000."""
    forget_ms: int
    """What was not seen for so long is forgotten. Default 600,000."""
    targets: int
    """Targets whose failures are kept. Default 1,000."""


class ClassifyPolicy(TypedDict, total=False):
    """The program's rules, and when what comes back is persistent."""

    rules: Sequence[Rule]
    """Tried before the built-in ones, in this order."""
    history: HistoryPolicy


Verdict = TypedDict(
    "Verdict",
    {
        "class": Literal["transient", "persistent", "critical"],
        # How long to wait before trying again, when the other side or a rule says so.
        "retry_after_ms": int | None,
        # The rule that decided: one of the program's, or a built-in one such as `http.status`.
        "rule": str,
        # Why, in a sentence.
        "reason": str,
    },
)
Verdict.__doc__ = "What a failure was found to be, and why."


class Classification:
    """How a kernel classifies failures: `kernel.classification`. Its guards go by it, those that are made
    with `kernel=` too.

    >>> import sutazai
    >>> with sutazai.Kernel() as kernel:
    ...     verdict = kernel.classification.classify(ConnectionResetError("by peer"))
    ...     verdict["class"], verdict["rule"]
    ...     kernel.classification.set_policy(
    ...         {"rules": [{"name": "indexing", "class": "transient", "text": "still indexing"}]}
    ...     )
    ...     kernel.classification.classify(LookupError("still indexing, sorry"))["rule"]
    ('transient', 'text.connection')
    'indexing'
    """

    def __init__(self, kernel: _sutazai.Kernel) -> None:
        self._kernel = kernel

    def classify(
        self,
        failure: BaseException | FailureFacts | str,
        *,
        rules: Sequence[Rule] | None = None,
    ) -> Verdict:
        """Says what a failure is: an exception, what is known of one, or its text alone. With `rules`, by
        these and the built-in ones in the place of the kernel's."""
        if isinstance(failure, BaseException):
            known = json.dumps(list(rules)) if rules is not None else None
            return cast(Verdict, json.loads(self._kernel._classify(failure, known)))
        facts = {"message": failure} if isinstance(failure, str) else mapping("failure", failure)
        request: dict[str, object] = {"failure": facts}
        if rules is not None:
            request["rules"] = list(rules)
        return cast(Verdict, now(self._kernel, "recovery.classify", **request))

    @property
    def policy(self) -> ClassifyPolicy:
        """The rules in force."""
        return cast(ClassifyPolicy, now(self._kernel, "recovery.policies")["classification"])

    def set_policy(self, policy: ClassifyPolicy) -> None:
        """Takes other rules, for the failures of guarded calls from here on; what is left out is as by
        default. What was seen stays."""
        now(self._kernel, "recovery.classify_set_policy", policy=mapping("policy", policy))
