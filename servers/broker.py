"""The broker that carries ids: Redis or RabbitMQ where BROKER_URL names one, else inside this process."""

from __future__ import annotations

import logging
import threading
from typing import Any

import dramatiq
from django.conf import settings
from django.db import close_old_connections, connection
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import AgeLimit, Middleware, Retries, TimeLimit

logger = logging.getLogger(__name__)
workers_here = threading.Event()


class Connections(Middleware):
    """A worker thread gives its database connection a look before and after each message."""

    def before_process_message(self, broker: Any, message: Any) -> None:
        close_old_connections()

    def after_process_message(self, broker: Any, message: Any, **_: Any) -> None:
        close_old_connections()

    def before_worker_thread_shutdown(self, broker: Any, thread: Any) -> None:
        connection.close()


def install() -> None:
    """Makes the broker that the settings ask for the one that actors register with."""
    dramatiq.set_broker(_broker())


def reaches_workers() -> bool:
    """False in a command beside a platform without a broker: what it would send stays in its own memory."""
    return bool(settings.BROKER_URL) or workers_here.is_set()


def send(actor: Any, *arguments: int) -> None:
    try:
        actor.send(*arguments)
    except Exception:
        logger.warning("broker does not answer; the reconciler will send the message again", exc_info=True)


def _broker() -> dramatiq.Broker:
    middleware = [AgeLimit(), TimeLimit(), Retries(), Connections()]
    url: Any = settings.BROKER_URL
    if url.startswith("redis"):
        from dramatiq.brokers.redis import RedisBroker

        # The defaults redeliver what a killed worker held after 15 minutes; these after seconds.
        return RedisBroker(  # type: ignore[no-untyped-call]
            url=url, middleware=middleware, heartbeat_timeout=30_000, maintenance_chance=1_000_000
        )
    if url.startswith("amqp"):
        from dramatiq.brokers.rabbitmq import RabbitmqBroker

        return RabbitmqBroker(url=url, middleware=middleware)
    return StubBroker(middleware=middleware)
