"""Makes an administrator and the example server at the very first start."""

from __future__ import annotations

import io
import secrets
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from access import audit, people
from access.actor import PLATFORM, Actor
from servers import intake, services, uploads
from servers.models import Server
from servers.models.server import SourceKind, Transport
from servers.states import Trigger

EXAMPLE = Path(settings.BASE_DIR) / "examples" / "hello"


@dataclass(frozen=True)
class Login:
    username: str
    password: str = field(repr=False)
    chosen: bool = False  # by the operator, so it need not be shown

    @property
    def shown(self) -> str:
        return "as ADMIN_PASSWORD says" if self.chosen else f"{self.password}   (shown this once)"


@dataclass(frozen=True)
class Example:
    server: Server
    token: str


def administrator() -> Login | None:
    """Makes the first administrator, with ADMIN_PASSWORD or a random password.

    None if there is one already.
    """
    if User.objects.filter(is_superuser=True).exists():
        return None
    chosen = str(settings.ADMIN_PASSWORD)
    login = Login("admin", chosen or secrets.token_urlsafe(15), bool(chosen))
    try:
        with transaction.atomic():
            user = User.objects.create_superuser(login.username, password=login.password)
            audit.record(action="user.added", by=PLATFORM, target=user, after=people.facts_of(user))
    except IntegrityError:  # another process made it at the same time
        return None
    return login


def example() -> Example | None:
    """Makes and deploys the example server with a token. None if there is a server already.

    Call it after `administrator`.
    """
    if Server.objects.exists():
        return None
    owner = User.objects.filter(is_superuser=True).earliest("pk")
    server = hello(owner, "process")
    services.deploy(server=server, by=Actor(owner), trigger=Trigger.COMMAND)
    _, token = services.issue_token(owner=owner, by=PLATFORM, name="first start", server=server)
    return Example(server, token)


def hello(owner: User, runtime: str) -> Server:
    """Makes the example server, without deploying it."""
    fields = {
        "name": "Hello",
        "slug": "hello",
        "source_kind": SourceKind.UPLOAD,
        "source": {},
        "transport": Transport.STDIO,
        "runtime": runtime,
    }
    server = services.create_server(by=Actor(owner), fields=fields)
    with uploads.received([_packed()], "hello.tar.gz") as archive:
        return intake.attach(server=server, archive=archive, by=PLATFORM)


def _packed() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(EXAMPLE, arcname="hello", filter=_plain)
    return packed.getvalue()


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member
