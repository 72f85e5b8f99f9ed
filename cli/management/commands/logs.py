from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from cli.command import ServerCommand, server_of
from hosting.errors import Invalid
from servers.models import LogLine

POLL_SECONDS = 0.5


class Command(ServerCommand):
    help = "Shows a server's log: what was built, what it wrote."
    examples = """  manage.py logs hello -n 50
  manage.py logs hello -f
  manage.py logs hello --deployment 3 --stream stderr --json"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("slug")
        parser.add_argument("-f", "--follow", action="store_true", help="Keep printing new lines.")
        parser.add_argument("-n", "--lines", type=int, default=200, help="The newest lines (200).")
        parser.add_argument("--deployment", type=int, metavar="NUMBER", help="Only of this deployment.")
        streams = ["build", "platform", "stdout", "stderr"]
        parser.add_argument("--stream", choices=streams, help="Only of this stream.")

    def act(self, **options: Any) -> None:
        if options["lines"] < 0:
            raise Invalid("--lines takes a number from 0 on.")
        rows = server_of(options["slug"]).log_lines.select_related("deployment")
        if options["deployment"] is not None:
            rows = rows.filter(deployment__number=options["deployment"])
        if options["stream"]:
            rows = rows.filter(stream=options["stream"])
        lines = list(rows.order_by("-pk")[: options["lines"]])[::-1]
        self._show(lines, options["json"])
        last = lines[-1].pk if lines else 0
        while options["follow"]:
            time.sleep(POLL_SECONDS)
            lines = list(rows.filter(pk__gt=last).order_by("pk"))
            self._show(lines, options["json"])
            last = lines[-1].pk if lines else last

    def _show(self, lines: list[LogLine], as_json: bool) -> None:
        for line in lines:
            number = line.deployment.number if line.deployment else None
            if as_json:
                self.put(
                    {
                        "at": line.at.isoformat(),
                        "deployment": number,
                        "stream": line.stream,
                        "text": line.text,
                    }
                )
            else:
                self.stdout.write(f"{line.at:%Y-%m-%d %H:%M:%S} #{number} {line.stream:<8} {line.text}")
        self.stdout.flush()
