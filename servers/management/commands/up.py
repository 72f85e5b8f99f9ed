from __future__ import annotations

import contextlib
import logging
import threading
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from servers import background, capabilities, first_run, reconciler, wiring
from servers.runtimes.base import Capability

logger = logging.getLogger(__name__)
PARTS = ("web", "gateway", "worker", "reconciler")
GRACE_SECONDS = 3


class Command(BaseCommand):
    help = "Starts the platform: web, live feed, gateway, workers and reconciler in one process."
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--only",
            action="append",
            choices=PARTS,
            help="Start only this part, for production with one process each. May be given several times.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        parts = frozenset(options["only"] or PARTS)
        settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
        self._migrate()
        self._greet()
        behind = background.Background(worker="worker" in parts, reconciler="reconciler" in parts)
        behind.start()
        try:
            self._serve(parts)
        finally:
            self.stdout.write("\nStopping …")
            behind.stop()
            if "worker" in parts:
                reconciler.suspend()
            self.stdout.write("Stopped.")

    def _migrate(self) -> None:
        try:
            call_command("migrate", verbosity=0, interactive=False)
        except Exception as error:
            if not settings.ALLOW_MIGRATION_FAILURE:
                raise CommandError(
                    f"The database could not be migrated: {_first_line(error)} "
                    "(ALLOW_MIGRATION_FAILURE=true starts all the same.)"
                ) from error
            logger.exception("the migration failed; starting all the same, as ALLOW_MIGRATION_FAILURE says")

    def _greet(self) -> None:
        login, example = first_run.administrator(), None
        if login:
            example = first_run.example()
        self.stdout.write(self.style.MIGRATE_HEADING("MCP Host"))
        for line in capabilities.all():
            self._say(line)
        self.stdout.write(f"  default runtime: {wiring.default_runtime()}")
        self.stdout.write(f"\n  Admin  {public_url()}/admin/")
        if login:
            self.stdout.write(f"  Login  {login.username}   Password  {login.password}   (shown this once)")
        if example:
            self.stdout.write(
                f"\n  The example server is being deployed: {public_url()}/mcp/{example.server.slug}"
            )
            self.stdout.write(f"  Token  {example.token}   (shown this once)")
        self.stdout.write("\n  Ctrl-C stops.\n")
        self.stdout.flush()

    def _say(self, line: Capability) -> None:
        mark = self.style.SUCCESS("✓") if line.found else self.style.WARNING("–")
        advice = f"  ({line.advice})" if line.advice else ""
        self.stdout.write(f"  {mark} {line.name}: {line.detail}{advice}")

    def _serve(self, parts: frozenset[str]) -> None:
        if not parts & {"web", "gateway"}:
            _wait_for_signal()
            return
        config = uvicorn.Config(
            settings.ASGI_APPLICATION.replace(".asgi.", ".asgi:"),
            host=settings.BIND_ADDRESS,
            port=settings.BIND_PORT,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        server = uvicorn.Server(config)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again when it is done
            server.run()
        if not server.started:
            raise CommandError(
                f"Cannot listen on {settings.BIND_ADDRESS}:{settings.BIND_PORT}: is it taken? Set BIND_PORT."
            )


def public_url() -> str:
    if settings.PUBLIC_URL:
        return str(settings.PUBLIC_URL)
    host = "localhost" if settings.BIND_ADDRESS in ("0.0.0.0", "::") else settings.BIND_ADDRESS
    return f"http://{host}:{settings.BIND_PORT}"


def _wait_for_signal() -> None:
    import signal

    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    done.wait()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
