"""The broker that carries ids: Redis or RabbitMQ where BROKER_URL names one, else inside this process.

Whoever sends names an actor of `servers.deploying.tasks` and does not import it: a door needs nothing of what
deploys.
"""

from __future__ import annotations

import functools
import logging
import threading
from typing import Any

import dramatiq
from django.conf import settings
from django.db import close_old_connections, connection, transaction
from django.utils import timezone
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import AgeLimit, Middleware, Retries, TimeLimit

from servers.models import Deployment

DEPLOY, RESTART, SETTLE = "deploy", "restart", "settle"
QUEUES = {DEPLOY: "deployments", RESTART: "restarts", SETTLE: "servers"}
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


def reaches_workers() -> bool:
    """False in a command beside a platform without a broker: what it would send stays in its own memory."""
    return bool(settings.BROKER_URL) or workers_here.is_set()


def deploy(deployment_id: int) -> None:
    """Sends the message. A broker that is away loses nothing: the reconciler sends again."""
    _send(DEPLOY, deployment_id)


def restart(run_id: int) -> None:
    _send(RESTART, run_id)


def settle(server_id: int) -> None:
    _send(SETTLE, server_id)


def deploy_on_commit(deployment_id: int) -> None:
    """Where no message would arrive the row just waits: the reconciler's next look finds it."""
    if reaches_workers():
        Deployment.objects.filter(pk=deployment_id).update(enqueued_at=timezone.now())
        transaction.on_commit(lambda: deploy(deployment_id))


def settle_on_commit(server_id: int) -> None:
    if reaches_workers():
        transaction.on_commit(lambda: settle(server_id))


def _send(actor: str, row: int) -> None:
    message: dramatiq.Message[None] = dramatiq.Message(
        queue_name=QUEUES[actor], actor_name=actor, args=(row,), kwargs={}, options={}
    )
    try:
        current().enqueue(message)
    except Exception:
        logger.warning("broker does not answer; the reconciler will send the message again", exc_info=True)


@functools.cache
def current() -> dramatiq.Broker:
    """The one that the settings ask for."""
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
