"""Checks whether the platform's own parts answer. No detail names an address, a user or a password."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import pika
import redis
from django.conf import settings
from django.db import DatabaseError, connection

from servers.operations import leader, schema

OK, DEGRADED, FAILED = "ok", "degraded", "failed"
TIMEOUT = 2.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Check:
    """The result of one check. `status` is OK, DEGRADED or FAILED, `detail` is a sentence."""

    name: str
    status: str
    detail: str


def run() -> list[Check]:
    """Checks the database, its migrations, the broker and the reconciler."""
    return [
        *of_database(migrations=True),
        _checked("broker", _broker, DEGRADED, "The broker does not answer: deployments wait for it."),
        _checked("reconciler", _reconciler, DEGRADED, "Whether a reconciler leads could not be asked."),
    ]


def of_database(*, migrations: bool) -> list[Check]:
    """Checks the database, without which nothing works, and its migrations if `migrations` is True."""
    checks = [_checked("database", _database, FAILED, "The database does not answer.")]
    if migrations:
        checks.append(_checked("migrations", _migrations, FAILED, "The migrations could not be read."))
    return checks


def worst(checks: list[Check]) -> str:
    """Returns the worst status."""
    return max((check.status for check in checks), key=[OK, DEGRADED, FAILED].index)


def _checked(name: str, check: Callable[[], tuple[str, str]], otherwise: str, sentence: str) -> Check:
    try:
        return Check(name, *check())
    except (DatabaseError, redis.RedisError, pika.exceptions.AMQPError, OSError):
        logger.warning("health check failed", exc_info=True, extra={"check": name})
        return Check(name, otherwise, sentence)


def _database() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return OK, f"{connection.display_name} answers."


def _migrations() -> tuple[str, str]:
    pending = schema.pending()
    if not pending:
        return OK, "Every migration is applied."
    sentence = f"Some migrations are not applied ({pending}): run manage.py migrate and read what it says."
    return (DEGRADED if settings.ALLOW_MIGRATION_FAILURE else FAILED), sentence


def _reconciler() -> tuple[str, str]:
    if leader.somebody_leads():
        return OK, "One leads."
    return (
        DEGRADED,
        "None leads: nothing is restarted or sent again. Start manage.py up --only reconciler.",
    )


def _broker() -> tuple[str, str]:
    url = settings.BROKER_URL
    if url.startswith("redis"):
        redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT).ping()
        return OK, "Redis answers."
    if url.startswith("amqp"):
        parameters = pika.URLParameters(url)
        parameters.socket_timeout = parameters.blocked_connection_timeout = TIMEOUT
        parameters.connection_attempts = 1
        pika.BlockingConnection(parameters).close()
        return OK, "RabbitMQ answers."
    return OK, "Inside this process."
