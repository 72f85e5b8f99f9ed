from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from cli.command import ServerCommand
from cli.drawing import Console
from cli.following import TONES
from servers import states
from servers.models import Server


class Command(ServerCommand):
    help = "Lists the servers: status, the deployment that serves, and the reason if none does."
    examples = """  manage.py servers
  manage.py servers --json | jq -r 'select(.status == "error") | .slug'"""

    def act(self, **options: Any) -> None:
        servers = Server.objects.with_current()
        if options["json"]:
            for server in servers:
                self.put(_facts(server))
        elif not servers:
            self.stdout.write("No servers yet. `manage.py deploy --help` shows how to make one.")
        else:
            Console().print(_table(list(servers)))


def _facts(server: Server) -> dict[str, object]:
    return {
        "id": server.pk,
        "slug": server.slug,
        "name": server.name,
        "status": server.status,
        "error_kind": server.error_kind,
        "error": server.error,
        "serving": server.serving.number if server.serving else None,
        "build": server.build,
    }


def _table(servers: list[Server]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("slug", "status", "serving", "reason"):
        table.add_column(title)
    for server in servers:
        look = states.look(server.status)
        serving = f"#{server.serving.number}" if server.serving else "–"
        table.add_row(server.slug, Text(look.label, style=TONES[look.tone]), serving, Text(server.error))
    return table
