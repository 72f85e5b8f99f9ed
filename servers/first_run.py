"""What the very first start makes: an administrator, and the example server."""

from __future__ import annotations

import hashlib
import secrets
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User

from servers import services
from servers.models import Server
from servers.models.server import RuntimeChoice, SourceKind, Transport
from servers.states import Trigger

EXAMPLE = Path(settings.BASE_DIR) / "examples" / "hello"


@dataclass(frozen=True)
class Login:
    username: str
    password: str


@dataclass(frozen=True)
class Example:
    server: Server
    token: str


def administrator() -> Login | None:
    """The first administrator with a random password, where there is none yet."""
    if User.objects.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(15)
    User.objects.create_superuser("admin", password=password)
    return Login("admin", password)


def example() -> Example | None:
    """Deploys the bundled server where no server was ever made."""
    if Server.objects.exists():
        return None
    owner = User.objects.filter(is_superuser=True).earliest("pk")
    server = services.create_server(
        by=owner,
        fields={
            "name": "Hello",
            "slug": "hello",
            "source_kind": SourceKind.UPLOAD,
            "source": {},
            "transport": Transport.STDIO,
            "runtime": RuntimeChoice.PROCESS,
        },
    )
    server = services.update_server(server=server, fields={"source": _packed(server)})
    services.deploy(server=server, by=owner, trigger=Trigger.COMMAND)
    _, token = services.issue_token(owner=owner, name="first start", server=server)
    return Example(server, token)


def _packed(server: Server) -> dict[str, object]:
    """The example as an uploaded archive."""
    folder = Path(settings.DATA_DIR) / "uploads" / str(server.pk)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.NamedTemporaryFile(dir=folder, delete=False) as file,
        tarfile.open(fileobj=file, mode="w:gz") as tar,
    ):
        tar.add(EXAMPLE, arcname="hello", filter=_plain)
    content = Path(file.name).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    path = Path(file.name).rename(folder / f"{digest}.tar.gz")
    return {"archive": str(path), "filename": "hello.tar.gz", "sha256": digest, "size": len(content)}


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member
