"""Log lines for people (`key=value`) and for programs (JSON), with the same fields."""

from __future__ import annotations

import json
import logging
import logging.config
from collections.abc import Iterable
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from cli.visible import CONTROLS
from redaction.redactor import Redactor

ALWAYS: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


# Objects that Django and the server attach. Their repr adds nothing to the message.
OBJECTS = ("request", "taskName", "color_message")


ESCAPED = {code: f"\\u{code:04x}" for code in CONTROLS}  # for terminals; a JSON parser restores them


def _target(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    event["target"] = record.name if record else event.pop("logger", "mcphost")
    event["message"] = event.pop("event", "")
    for name in OBJECTS:
        event.pop(name, None)
    return event


def _key_value(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    when, level = event.pop("timestamp"), event.pop("level", "info")
    message = "\\n".join(str(event.pop("message")).splitlines())
    head = f'{when} {level:<7} target="{event.pop("target")}" {message}'
    trace = event.pop("exception", "")
    fields = "".join(f" {key}={_shown(value)}" for key, value in event.items())
    return head + fields + (f"\n{trace}" if trace else "")


def _shown(value: Any) -> str:
    """Quotes and escapes a value where needed, so that foreign text cannot begin a new line."""
    text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    plain = text.isprintable() and not any(c in text for c in ' "=\\')
    return text if text and plain else json.dumps(text, ensure_ascii=False)


def _redacting(render: Processor, secrets: Iterable[str]) -> Processor:
    """Wraps a renderer: masks the secrets, and everything that looks like one, and escapes control
    characters."""
    redact = Redactor(secrets)

    def rendered(logger: WrappedLogger, method: str, event: EventDict) -> str:
        return redact(str(render(logger, method, event))).translate(ESCAPED)

    return rendered


def configure(log_format: str, level: str, secrets: Iterable[str] = ()) -> None:
    """Configures logging. `secrets` never appear in a line, nor does a text that looks like a secret."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *ALWAYS,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    render: Processor = structlog.processors.JSONRenderer() if log_format == "json" else _key_value
    last = _redacting(render, secrets)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "default": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": ALWAYS,
                    "processors": [
                        _target,
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.format_exc_info,
                        last,
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "default"}},
            "root": {"handlers": ["stderr"], "level": level.upper()},
            "loggers": {
                # Answers with 4xx are not logged; our own failures have a 5xx and a traceback.
                "django.request": {"level": "ERROR"},
                "dramatiq": {"level": "WARNING"},
                "uvicorn.error": {"level": "WARNING"},
                "uvicorn.access": {"level": "WARNING"},
                "daphne": {"level": "WARNING"},
                "axes": {"level": "WARNING"},
                "urllib3": {"level": "WARNING"},
                "docker": {"level": "WARNING"},
                "asyncio": {"level": "WARNING"},
                "pika": {"level": "CRITICAL"},
            },
        }
    )
