"""What the parts of `kernel.security` share: how they ask the kernel."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta, timezone
from typing import Any

from sutazai import _sutazai
from sutazai._errors import Invalid

__all__: list[str] = []


class Part:
    """A part of the kernel's security."""

    def __init__(self, kernel: _sutazai.Kernel) -> None:
        self._kernel = kernel

    def _do(self, operation: str, /, **request: object) -> Any:
        return self._kernel.invoke(f"security.{operation}", **said(request))

    async def _ado(self, operation: str, /, **request: object) -> Any:
        return await self._kernel.begin(f"security.{operation}", **said(request))


def said(request: dict[str, Any]) -> dict[str, Any]:
    """A request without what was not said."""
    return {name: value for name, value in request.items() if value is not None}


def at(time: datetime | str | None) -> str | None:
    """A time as operations take it: RFC 3339. One without a zone is local time."""
    if time is None or isinstance(time, str):
        return time
    if not isinstance(time, datetime):
        raise TypeError(f"a time is a datetime or a str, not {type(time).__name__}")
    return time.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


#: Seconds, about 292 years: as far as times go.
_LONGEST = 9_223_372_036


def millis(name: str, time: float | timedelta | None, most: float = _LONGEST) -> int | None:
    """A duration as operations take it, of so many seconds at most."""
    return None if time is None else round(_sutazai._seconds(name, time, most) * 1e3)


def finite(name: str, value: float) -> float:
    """A number as operations take it: an int may be longer than what they have room for."""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise Invalid(f"{name} is too large: a float ends at about 1.8e308") from None
    return value


def coded(data: bytes) -> str:
    """Bytes as operations take them."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"bytes are wanted, not {type(data).__name__}")
    return base64.b64encode(data).decode("ascii")


def decoded(text: str) -> bytes:
    """Bytes that an operation gave."""
    return base64.b64decode(text)
