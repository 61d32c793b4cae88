"""What exceptions of other libraries say, in the words of the core."""

from __future__ import annotations

import errno
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

_SHORT = 200
# The exceptions of a group that are looked at.
_LEAVES = 100


def leaves(error: BaseException) -> list[BaseException]:
    """The exceptions of a group and of the groups in it, in order."""
    found: list[BaseException] = []
    left: list[BaseException] = [error]
    while left and len(found) < _LEAVES:
        error = left.pop()
        if isinstance(error, BaseExceptionGroup):
            left.extend(reversed(error.exceptions))
        else:
            found.append(error)
    return found


def qualified(kind: type[BaseException]) -> str:
    """The type's name, with its module unless that says nothing."""
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def seen(error: BaseException) -> Iterator[tuple[str, str]]:
    """What an exception says of itself that tells whether trying again may help, under the words of
    the core's `port::failure`: its bases, and what HTTP clients, databases, `OSError` and `subprocess` put
    on it."""
    silent = (Exception, BaseException, object)
    bases = [qualified(base) for base in type(error).__mro__[1:] if base not in silent]
    if bases:
        yield "bases", ", ".join(bases)
    response = _attribute(error, "response")
    aws = _of_aws(response)
    for status in (
        aws.status,
        _attribute(error, "status_code"),
        _attribute(error, "status"),
        _attribute(error, "code"),
        _attribute(response, "status_code"),
        _attribute(response, "status"),
    ):
        if isinstance(status, int) and 400 <= status < 600:
            yield "http_status", str(int(status))
            break
    headers: Any = (
        aws.headers or _attribute(response, "headers") or _attribute(error, "headers")
    )
    try:
        wait = headers.get("Retry-After") or headers.get("retry-after")
    except Exception:
        # There are none, or somebody else's mapping raises: then there is no hint.
        wait = None
    if isinstance(wait, str):
        yield "retry_after", utf8(wait[:_SHORT])
    for key, values in (
        ("provider_type", (_attribute(error, "type"),)),
        ("provider_code", (aws.code, _attribute(error, "code"))),
        ("sqlstate", (_attribute(error, "sqlstate"), _attribute(error, "pgcode"))),
    ):
        for value in values:
            if isinstance(value, str) and value:
                yield key, utf8(value[:_SHORT])
                break
    if isinstance(error, OSError) and isinstance(error.errno, int):
        # By name: numbers differ between systems. What `getaddrinfo` says has none.
        named = None if isinstance(error, socket.gaierror) else errno.errorcode.get(error.errno)
        yield "errno", named or str(error.errno)
    if isinstance(error, subprocess.CalledProcessError) and isinstance(error.returncode, int):
        if error.returncode < 0:
            yield "signal", _signal(-error.returncode)
        else:
            yield "exit_status", str(error.returncode)


def _of_aws(response: object) -> _Aws:
    """What the `response` of an exception says where that is a dict, as botocore's `ClientError` has it."""

    def at(key: str, name: str) -> object:
        part = response.get(key) if isinstance(response, dict) else None
        return part.get(name) if isinstance(part, dict) else None

    return _Aws(
        at("Error", "Code"),
        at("ResponseMetadata", "HTTPStatusCode"),
        at("ResponseMetadata", "HTTPHeaders"),
    )


class _Aws(NamedTuple):
    code: object
    status: object
    headers: object


def _signal(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)


def _attribute(of: object, name: str) -> object:
    try:
        return getattr(of, name, None)
    except Exception:
        return None


def utf8(text: str) -> str:
    """Lone surrogates have no UTF-8 form."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
