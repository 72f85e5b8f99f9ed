"""Private registries (the distribution registry 2.8) on loopback: open, with Basic, with tokens."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import requests

from .requirement import BenchError, program
from .token_server import ISSUER, SERVICE, TokenServer
from .workspace import Workspace, free_port

USERNAME, PASSWORD = "ci", "bench-password"


@dataclass(frozen=True)
class Registry:
    """A running registry; `host` is 127.0.0.1:PORT, which every Docker Engine takes over plain http."""

    host: str
    username: str = ""
    password: str = ""
    tokens: TokenServer | None = None

    def control(self, faults: dict[str, object]) -> None:
        """Faults of the token server (see token_server.Faults); `{}` heals."""
        if self.tokens is None:
            raise BenchError("only a registry with tokens can be controlled")
        self.tokens.control(faults)


def start_plain(workspace: Workspace, *, store: Path | None = None, readonly: bool = False) -> Registry:
    """A registry without authentication, over a store of its own or a given one."""
    return Registry(_start(workspace, "", store=store, readonly=readonly))


def start_basic(workspace: Workspace) -> Registry:
    line = subprocess.run(
        [program("htpasswd"), "-Bin", USERNAME], input=PASSWORD, text=True, check=True, capture_output=True
    ).stdout  # bcrypt (-B): the registry takes nothing else
    users = workspace.directory("users") / "htpasswd"
    users.write_text(line)
    return Registry(_start(workspace, _section("htpasswd", realm="bench", path=users)), USERNAME, PASSWORD)


def start_token(workspace: Workspace) -> Registry:
    """A registry with token authentication; its token server lives in this process."""
    tokens = TokenServer({USERNAME: PASSWORD})
    certificate = workspace.directory("tokens") / "issuer.crt"
    tokens.write_certificate(certificate)
    section = _section(
        "token", realm=tokens.realm, service=SERVICE, issuer=ISSUER, rootcertbundle=certificate
    )
    return Registry(_start(workspace, section), USERNAME, PASSWORD, tokens)


def _section(kind: str, **settings: object) -> str:
    return "\n".join([f"auth:\n  {kind}:", *(f"    {name}: {value}" for name, value in settings.items())])


def _start(workspace: Workspace, auth: str, *, store: Path | None = None, readonly: bool = False) -> str:
    home, host = workspace.directory("registry"), f"127.0.0.1:{free_port()}"
    config = home / "config.yml"
    config.write_text(f"""\
version: 0.1
log: {{level: info}}
storage:
  filesystem: {{rootdirectory: {store or home / "store"}}}
  delete: {{enabled: {str(not readonly).lower()}}}
  maintenance: {{uploadpurging: {{enabled: false}}, readonly: {{enabled: {str(readonly).lower()}}}}}
http: {{addr: "{host}", secret: bench}}
{auth}
""")
    workspace.start(
        [program("docker-registry"), "serve", str(config)],
        log=home / "registry.log",
        ready=lambda: _answers(host),
    )
    return host


def _answers(host: str) -> bool:
    try:
        return requests.get(f"http://{host}/v2/", timeout=5).status_code in (200, 401)
    except requests.RequestException:
        return False
