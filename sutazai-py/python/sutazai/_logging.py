"""Between Python's `logging` and the kernel's log, in both directions."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sutazai._kernel import Kernel

# On records that came from a kernel, so that they do not go back to one.
_MARK = "sutazai_fields"

_LEVELS = {
    "trace": 5,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LogHandler(logging.Handler):
    """Sends records to a kernel's log: `logging.getLogger().addHandler(LogHandler(kernel))`.

    `extra` becomes the record's fields, an exception the fields `exception` and `traceback`.
    """

    def __init__(self, kernel: Kernel, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._kernel = kernel

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, _MARK):
            return
        try:
            fields: dict[str, Any] = {
                key: value if isinstance(value, bool | int | float | str) else repr(value)
                for key, value in vars(record).items()
                if key not in _STANDARD
            }
            if record.exc_info and record.exc_info[0] is not None:
                fields["exception"] = record.exc_info[0].__name__
                fields["traceback"] = logging.Formatter().formatException(record.exc_info)
            self._kernel._log(record.levelno, record.name, record.getMessage(), fields)
        except Exception:
            self.handleError(record)


def relay(prefix: str) -> Callable[[str, str, str, dict[str, Any], int, int], None]:
    """A function that gives the kernel's records to loggers below `prefix`."""

    def give(
        level: str, target: str, message: str, fields: dict[str, Any], nanos: int, missed: int
    ) -> None:
        name = target if not prefix or target.startswith(prefix) else f"{prefix}.{target}"
        logger = logging.getLogger(name)
        number = _LEVELS.get(level, logging.INFO)
        if not logger.isEnabledFor(number):
            return
        record = logger.makeRecord(
            name, number, "(sutazai)", 0, message, (), None, extra={_MARK: fields}
        )
        record.created = nanos / 1e9
        record.msecs = nanos // 1_000_000 % 1_000
        if missed:
            fields["missed_before"] = missed
        logger.handle(record)

    return give
