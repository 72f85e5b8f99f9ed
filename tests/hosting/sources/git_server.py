"""Serves git repositories over HTTP on loopback through git's own http-backend, as a forge would."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Lfs:
    """The forge's LFS server: `objects` by oid; `base` is where downloads are said to be, "" for the forge.

    `headers` are what a download is said to need. `seen` are the paths and authorizations of its requests.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    base: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    answer: bytes = b""  # in place of a batch
    moved: str = ""  # where its batches are asked for by now
    seen: list[tuple[str, str]] = field(default_factory=list)

    def keep(self, content: bytes) -> str:
        """Returns the pointer to it."""
        oid = hashlib.sha256(content).hexdigest()
        self.objects[oid] = content
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"

    def batch(self, body: bytes, here: str) -> bytes:
        wanted = json.loads(body)["objects"]
        return self.answer or json.dumps({"objects": [self._entry(each, here) for each in wanted]}).encode()

    def _entry(self, wanted: dict[str, Any], here: str) -> dict[str, Any]:
        if wanted["oid"] not in self.objects:
            return {**wanted, "error": {"code": 404, "message": "Object does not exist"}}
        action = {"href": f"{self.base or here}/lfs-content/{wanted['oid']}", "header": self.headers}
        return {**wanted, "actions": {"download": action}}


class GitServer(ThreadingHTTPServer):
    """`password` "" serves everybody. Only protocol v0 is spoken, which refuses commits that no ref names."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root, self.password = root, ""
        self.lfs = Lfs()
        self.authorizations: list[str] = []
        self.scheme = "http"

    def speak_tls(self, certificate: Path, key: Path) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.scheme = "https"

    def shutdown_request(self, request: Any) -> None:
        # GnuTLS takes an end without close_notify for an attack.
        if isinstance(request, ssl.SSLSocket):
            with suppress(OSError):
                request.unwrap()
        super().shutdown_request(request)

    def url(self, name: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}/{name}"


@contextmanager
def serving(root: Path) -> Iterator[GitServer]:
    server = GitServer(root)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: GitServer

    def do_GET(self) -> None:
        if "/lfs-content/" in self.path:
            self._give_lfs(self.server.lfs.objects[self.path.rpartition("/")[2]])
        else:
            self._serve(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/info/lfs/objects/batch"):
            self._give_lfs(self.server.lfs.batch(body, self.server.url("")[:-1]))
        else:
            self._serve(body)

    def _give_lfs(self, content: bytes) -> None:
        authorization = self.headers.get("Authorization", "")
        self.server.lfs.seen.append((self.path, authorization))
        is_batch = self.command == "POST"
        refused = is_batch and self.server.password and not authorization.endswith(self._expected())
        moved = self.server.lfs.moved if is_batch else ""
        self.send_response(307 if moved else 401 if refused else 200)
        if moved:
            self.send_header("Location", moved + self.path)
        self.end_headers()
        self.wfile.write(b"" if refused else content)

    def log_message(self, *_: object) -> None: ...

    def _serve(self, body: bytes) -> None:
        authorization = self.headers.get("Authorization", "")
        if authorization:
            self.server.authorizations.append(base64.b64decode(authorization.split()[1]).decode())
        if self.server.password and not authorization.endswith(self._expected()):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        answer = subprocess.run(
            ["git", "http-backend"], input=body, env=self._env(), capture_output=True
        ).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _expected(self) -> str:
        return base64.b64encode(f"x-access-token:{self.server.password}".encode()).decode()

    def _env(self) -> dict[str, str]:
        parts = urlsplit(self.path)
        return {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }


class Repository:
    """A repository with a working tree, to commit to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def tree(self, entries: Iterable[str]) -> str:
        """The id of a tree of `mode kind id<tab>name` lines."""
        return self.git("mktree", given="\n".join(entries))

    def git(self, *arguments: str, given: str | None = None) -> str:
        identity = {"NAME": "Ada", "EMAIL": "ada@example.org"}
        who = {
            f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in identity.items()
        }
        env = {"PATH": os.environ["PATH"], "HOME": str(self.path), "GIT_CONFIG_NOSYSTEM": "1", **who}
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env=env,
            check=True,
            capture_output=True,
            text=True,
            input=given,
        )
        return done.stdout.strip()

    def commit(self, subject: str, **files: str) -> str:
        """Writes `files` (name with `__` for `.`), commits; returns the commit id."""
        for name, content in files.items():
            path = self.path / name.replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", subject)
        return self.git("rev-parse", "HEAD")
