from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from cli import building, pasting, working
from cli.command import ServerCommand, operator
from hosting.runtimes.kinds import KINDS
from servers import intake, services, uploads, validation
from servers.models import Server
from servers.models.server import SourceKind, Transport
from servers.states import Trigger
from servers.uploads import Archive


class Command(ServerCommand):
    help = "Adds a server from a source and deploys it."
    examples = """  manage.py deploy time --pypi mcp-server-time --wait
  manage.py deploy everything --npm @modelcontextprotocol/server-everything@2026.1.26 --wait
  manage.py deploy notes --git https://git.example.org/team/notes.git --ref main --wait
  manage.py deploy search --image registry.example.org/team/search:1.2 --transport streamable-http
  manage.py deploy tools --archive ./tools.tar.gz --env LOG_LEVEL=debug
  manage.py deploy files --pypi 'some-server[http]' --with 'mcp<2' --python 3.12
  manage.py deploy maps --git https://git.example.org/maps.git --dockerfile docker/Dockerfile --target run
  manage.py deploy notes --git https://git.example.org/team/notes.git --explain
  manage.py deploy --paste 'npx -y @scope/server' --env API_KEY --wait
  manage.py deploy --paste README.md --pick weather"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("slug", nargs="?", default="", help="Part of the URL: /mcp/<slug>")
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--git", metavar="URL", help="A git repository.")
        source.add_argument("--pypi", metavar="NAME[==VERSION]", help="A package from PyPI.")
        source.add_argument("--npm", metavar="NAME[@VERSION]", help="A package from npm.")
        source.add_argument("--image", metavar="REFERENCE", help="An image that exists.")
        source.add_argument("--archive", metavar="FILE", help="A tar, tar.gz or zip file.")
        pasting.add_arguments(parser, source)
        parser.add_argument("--ref", default="", help="Branch, tag or commit of --git.")
        parser.add_argument("--subdirectory", default="", help="Where in --git or --archive the server is.")
        parser.add_argument("--name", help="Display name; by default the slug.")
        parser.add_argument("--transport", choices=[t.value for t in Transport])
        parser.add_argument("--port", type=int, default=8000, help="Port of a streamable-http server.")
        parser.add_argument("--path", default="/mcp", help="Path of a streamable-http server.")
        parser.add_argument("--runtime", choices=[*KINDS], default="")
        parser.add_argument(
            "--env",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="An environment variable. May be given several times.",
        )
        parser.add_argument(
            "--command", default="", help="Command that starts the server, instead of the detected one."
        )
        building.add_arguments(parser)
        working.add_arguments(parser)

    def act(self, **options: Any) -> None:
        by = operator()
        if by.user is None:
            raise CommandError("There is no administrator yet: start the platform once with `make run`.")
        if options["paste"] is not None:
            pasting.deploy(self, by, options)
            return
        if not options["slug"]:
            raise CommandError("Name the server: manage.py deploy SLUG …")
        _check(options)
        kind, source = _source(options)
        fields = {
            "name": options["name"] or options["slug"],
            "slug": options["slug"],
            "source_kind": kind,
            "source": _cleaned(kind, source),
            "transport": options["transport"] or services.default_transport(kind),
            "port": options["port"],
            "path": options["path"],
            "runtime": options["runtime"],
            "environment": validation.parse_environment("\n".join(options["env"])),
            "command": validation.parse_words(options["command"]),
            "build": building.choices(options),
        }
        with _received(options["archive"]) as archive:
            if archive:
                fields["source"] = {**archive.source, **fields["source"]}
            if options["explain"]:
                described = Server(owner=by.user, **validation.with_build(fields))
                building.explain(self, described, options, archive.path if archive else None)
                return
            _, deployment = intake.create(by=by, fields=fields, trigger=Trigger.COMMAND, archive=archive)
        assert deployment
        working.finish(self, deployment, options)


@contextmanager
def _received(file: str | None) -> Iterator[Archive | None]:
    if file is None:
        yield None
        return
    path = Path(file)
    try:
        opened = path.open("rb")
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
    with opened, uploads.received(iter(lambda: opened.read(1 << 20), b""), path.name) as archive:
        yield archive


def _check(options: dict[str, Any]) -> None:
    """Raises `CommandError` for an option that the kind of source does not use: it would have no effect."""
    for name, sources in (("ref", ("git",)), ("subdirectory", ("git", "archive"))):
        if options[name] and not any(options[source] for source in sources):
            raise CommandError(f"--{name} is for {' and '.join(f'--{each}' for each in sources)} only.")


def _cleaned(kind: str, source: dict[str, Any]) -> dict[str, Any]:
    if kind == SourceKind.UPLOAD:
        return validation.clean_archive_options(source)
    return validation.clean_source(kind, source)


def _source(options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if options["git"]:
        about = {"url": options["git"], "ref": options["ref"], "subdirectory": options["subdirectory"]}
        return SourceKind.GIT, about
    if options["image"]:
        return SourceKind.IMAGE, {"reference": options["image"]}
    if options["archive"]:
        return SourceKind.UPLOAD, {"subdirectory": options["subdirectory"]}
    if options["pypi"]:
        name, _, version = options["pypi"].partition("==")
        return SourceKind.PACKAGE, {"ecosystem": "pypi", "name": name, "version": version}
    at = options["npm"].find("@", 1)
    name, version = (options["npm"][:at], options["npm"][at + 1 :]) if at > 0 else (options["npm"], "")
    return SourceKind.PACKAGE, {"ecosystem": "npm", "name": name, "version": version}
