"""Sends messages with ids of rows to workers: through Redis or RabbitMQ if BROKER_URL is set, else in memory.

A sender names an actor of `servers.deploying.tasks` and does not import it. So processes that only send do
not load the modules that deploy.
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
    """Closes database connections that are broken or too old, before and after each message."""

    def before_process_message(self, broker: Any, message: Any) -> None:
        close_old_connections()

    def after_process_message(self, broker: Any, message: Any, **_: Any) -> None:
        close_old_connections()

    def before_worker_thread_shutdown(self, broker: Any, thread: Any) -> None:
        connection.close()


def reaches_workers() -> bool:
    """Tells whether a message from this process arrives at a worker.

    False in a command that runs beside a platform without a broker: its messages stay in its own memory.
    """
    return bool(settings.BROKER_URL) or workers_here.is_set()


def deploy(deployment_id: int) -> None:
    """Sends the message.

    If the broker does not answer, the reconciler sends it again later; nothing is raised.
    """
    _send(DEPLOY, deployment_id)


def restart(run_id: int) -> None:
    """Sends the message; as `deploy`."""
    _send(RESTART, run_id)


def settle(server_id: int) -> None:
    """Sends the message; as `deploy`."""
    _send(SETTLE, server_id)


def deploy_on_commit(deployment_id: int) -> None:
    """Sends the message after the commit. If no worker would get it, the reconciler finds the row soon."""
    if reaches_workers():
        Deployment.objects.filter(pk=deployment_id).update(enqueued_at=timezone.now())
        transaction.on_commit(lambda: deploy(deployment_id))


def settle_on_commit(server_id: int) -> None:
    """Sends the message after the commit, if a worker would get it."""
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
    """Returns the broker that BROKER_URL names, one object for each process."""
    middleware = [AgeLimit(), TimeLimit(), Retries(), Connections()]
    url: Any = settings.BROKER_URL
    if url.startswith("redis"):
        from dramatiq.brokers.redis import RedisBroker

        # By default, messages of a killed worker come again after 15 minutes; with these after seconds.
        return RedisBroker(  # type: ignore[no-untyped-call]
            url=url, middleware=middleware, heartbeat_timeout=30_000, maintenance_chance=1_000_000
        )
    if url.startswith("amqp"):
        from dramatiq.brokers.rabbitmq import RabbitmqBroker

        return RabbitmqBroker(url=url, middleware=middleware)
    return StubBroker(middleware=middleware)
