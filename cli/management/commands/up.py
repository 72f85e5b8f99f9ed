from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import ERROR, run_checks
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError
from django.utils.module_loading import import_string

from cli.directories import make_directories
from cli.terminal import ShownCommand
from hosting.runtimes.base import Capability
from servers import as_root, runtime_choice, uploads
from servers.deploying import reconciler, runtimes
from servers.operations import background, capabilities, first_run, schema
from servers.operations.listening import listen, public_url
from servers.operations.serving import GRACE_SECONDS, serve

logger = logging.getLogger(__name__)
DOORS = frozenset({"web", "gateway"})
# These parts send each other work through the broker. The gateway only reads rows and needs none.
TIED = frozenset({"web", "worker", "reconciler"})
# These parts call the cluster's API. A pod that only serves web or gateway has no account there.
CLUSTERED = frozenset({"worker", "reconciler"})
NO_CLUSTER = "mcphost.E006"
PARTS = ("web", "gateway", "worker", "reconciler")
SCHEMA_SECONDS = 120
STOPS = (signal.SIGINT, signal.SIGTERM)


class Command(ShownCommand):
    help = "Starts the platform: web, gateway, worker and reconciler in one process."
    requires_system_checks = []  # `_refuse_what_cannot_work` runs ours and prints one line for each

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--only",
            action="append",
            choices=PARTS,
            help="Start only this part, for one process per part. May be given several times.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        parts = frozenset(options["only"] or PARTS)
        _refuse_what_cannot_work(parts)
        with _signals_as_interrupt(), _listener(parts) as listener:
            make_directories()
            uploads.forget_abandoned()
            self._bring_schema()
            self._greet(parts)
            with _background(parts, self.stdout.write):
                self.stdout.write("\n  Ctrl-C stops.\n")
                self.stdout.flush()
                _serve(parts, listener)

    def _bring_schema(self) -> None:
        if settings.MIGRATE_ON_START:
            self._migrate()
            return
        try:
            schema.wait(SCHEMA_SECONDS)
        except schema.NotMigrated as error:
            raise CommandError(str(error)) from error

    def _migrate(self) -> None:
        try:
            schema.migrate()
        except Exception as error:
            if not settings.ALLOW_MIGRATION_FAILURE:
                raise CommandError(
                    f"The database could not be migrated: {_first_line(error)} "
                    "(ALLOW_MIGRATION_FAILURE=true starts all the same.)"
                ) from error
            logger.exception("the migration failed; starting all the same, as ALLOW_MIGRATION_FAILURE says")

    def _greet(self, parts: frozenset[str]) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING("MCP Host" + _named(parts)))
        for line in capabilities.all() if "worker" in parts else capabilities.of_every_part():
            self._say(line)
        if "worker" in parts:
            self.stdout.write(f"  default runtime: {runtime_choice.default_runtime()}")
            for name in capabilities.hosting_as_root():
                warning = f"  ! {name}: {as_root.AS_ROOT} {as_root.NOT_AS_ROOT}"
                self.stdout.write(self.style.WARNING(warning))
        if "web" in parts:
            self.stdout.write(f"\n  Admin  {public_url()}/admin/")
            self._first_run(parts)
        elif "gateway" in parts:
            self.stdout.write(f"\n  MCP  {public_url()}/mcp/<slug>")
        self.stdout.flush()

    def _first_run(self, parts: frozenset[str]) -> None:
        """Makes the administrator, and the example server if the worker runs in this process too."""
        try:
            login = first_run.administrator() if settings.MIGRATE_ON_START else None
            example = first_run.example() if login and parts >= TIED else None
        except DatabaseError as error:
            logger.error("no administrator was looked for: %s", _first_line(error))
            return
        if login:
            self.stdout.write(f"  Login  {login.username}   Password  {login.shown}")
        if example:
            self.stdout.write(
                f"\n  The example server is being deployed: {public_url()}/mcp/{example.server.slug}"
            )
            self.stdout.write(f"  Token  {example.token}   (shown this once)")

    def _say(self, line: Capability) -> None:
        mark = self.style.SUCCESS("✓") if line.found else self.style.WARNING("–")
        advice = f"  ({line.advice})" if line.advice else ""
        self.stdout.write(f"  {mark} {line.name}: {line.detail}{advice}")


def _refuse_what_cannot_work(parts: frozenset[str]) -> None:
    ignored = set() if parts & CLUSTERED or settings.K8S_REACH == "proxy" else {NO_CLUSTER}
    found = run_checks(tags=["mcphost"])
    faults = [check for check in found if check.level >= ERROR and check.id not in ignored]
    if faults:
        raise CommandError("\n".join(f"{fault.msg} {fault.hint} ({fault.id})" for fault in faults))
    if parts & TIED and not parts >= TIED and not settings.BROKER_URL:
        raise CommandError(
            "web, worker and reconciler in processes of their own need a broker: set BROKER_URL."
        )


@contextlib.contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """SIGTERM ends the platform like Ctrl-C, also during the start: what was started is stopped again."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        yield


@contextlib.contextmanager
def _listener(parts: frozenset[str]) -> Iterator[socket.socket | None]:
    """The socket of web and gateway. Without them that of METRICS_PORT, or None if that is not set."""
    if parts & DOORS:
        listener: Any = listen()
    else:
        listener = listen("METRICS_PORT") if settings.METRICS_PORT else contextlib.nullcontext()
    with listener as opened:
        yield opened


@contextlib.contextmanager
def _background(parts: frozenset[str], say: Any) -> Iterator[None]:
    came = _hold_signals()  # half of a start cannot be stopped
    behind = background.Background(worker="worker" in parts, reconciler="reconciler" in parts)
    behind.start()
    try:
        _hear_signals(came)
        yield
    finally:
        for number in STOPS:
            signal.signal(
                number, signal.SIG_IGN
            )  # a second signal must not interrupt the stop, which takes seconds
        say("\nStopping …")
        behind.stop()
        if "worker" in parts:
            _end_hosted()
        say("Stopped.")


def _hold_signals() -> list[int]:
    """Returns a list to which the signals that ask for a stop are added from now on."""
    came: list[int] = []
    for number in STOPS:
        signal.signal(number, lambda number, _: came.append(number))
    return came


def _hear_signals(came: list[int]) -> None:
    """Lets signals interrupt again, and answers those that were held."""
    for number in STOPS:
        signal.signal(number, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt


def _end_hosted() -> None:
    try:
        reconciler.suspend()
    except DatabaseError:
        logger.exception("hosted processes are looked for without the database")
        runtime = runtimes.runtime("process")
        for stray in runtime.strays():
            runtime.stop(stray.handle, grace=settings.STOP_GRACE_SECONDS)


def _serve(parts: frozenset[str], listener: socket.socket | None) -> None:
    if listener is None:
        threading.Event().wait()
        return
    serve(import_string(settings.ASGI_FACTORY)(parts & DOORS), listener, grace_of(parts))


def grace_of(parts: frozenset[str]) -> float:
    """Seconds that running calls get when the process stops. Short beside a worker: its servers end too."""
    if "gateway" not in parts:
        return GRACE_SECONDS
    longest: float = settings.GATEWAY_SHUTDOWN_SECONDS
    return min(longest, GRACE_SECONDS) if "worker" in parts else longest


def _named(parts: frozenset[str]) -> str:
    return "" if parts == frozenset(PARTS) else f" ({', '.join(part for part in PARTS if part in parts)})"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
