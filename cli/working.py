"""Waits for a deployment, or does its work in this process when no worker is running."""

from __future__ import annotations

import threading
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError
from django.db import connection

from cli.command import ServerCommand, facts_of
from cli.following import follow
from servers.deploying import deployer
from servers.models import Deployment


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--wait", action="store_true", help="Wait for the end; the exit code is the outcome.")
    parser.add_argument(
        "--here",
        action="store_true",
        help="Do the work in this command, if no worker is running. Implies --wait.",
    )


def finish(command: ServerCommand, deployment: Deployment, options: Mapping[str, Any]) -> None:
    """Prints that the deployment is queued, then obeys `--wait` and `--here`. `--json` prints its facts only.

    Raises `CommandError` if the command waited and the deployment did not succeed.
    """
    as_json = options["json"]
    if not as_json:
        command.stdout.write(f"{deployment} is queued.")
    try:
        _see_through(deployment, wait=options["wait"], here=options["here"], quiet=as_json)
    finally:
        if as_json:
            deployment.refresh_from_db()
            command.put(facts_of(deployment))


def _see_through(deployment: Deployment, *, wait: bool, here: bool, quiet: bool) -> None:
    thread = threading.Thread(target=_work, args=(deployment.pk,)) if here else None
    if thread:
        thread.start()
    if here or wait:
        succeeded = follow(deployment, quiet=quiet)
        if thread:
            thread.join()
        if not succeeded:
            raise CommandError(_outcome(deployment))


def _outcome(deployment: Deployment) -> str:
    return f"{deployment} {deployment.status}" + (f": {deployment.error}" if deployment.error else "")


def _work(deployment_id: int) -> None:
    deployer.run(deployment_id)
    connection.close()
