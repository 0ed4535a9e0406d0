"""Logging, set up once for a process: JSON lines, or lines for people on a terminal.

What is logged never quotes what was said: of other programs' records only the first line is kept,
and of an exception its class.
"""

import logging
from typing import TextIO

import structlog


class _ToStructlog(logging.Handler):
    """Hands on what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0] if record.exc_info else None
        structlog.get_logger().log(
            record.levelno,
            "library_log",
            logger=record.name,
            message=record.getMessage().partition("\n")[0],
            **({} if error is None else {"error": error.__qualname__}),
        )


def configure(level: str, stream: TextIO) -> None:
    """Log to the stream from this level on (`debug`, `info`, `warning` or `error`)."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if stream.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    # What libraries tell below a warning may hold addresses and tokens.
    logging.basicConfig(level=logging.WARNING, handlers=[_ToStructlog()], force=True)
