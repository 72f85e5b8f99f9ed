"""Specimens that leave a mark wherever their code is run, and the places on the loopback that serve them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import ssl
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Files = Mapping[str, str | bytes]
CRY = "evil code has run"


def python_that_marks(mark: Path, who: str) -> str:
    """Works in a container too, where it writes to a file of the same name."""
    return (
        "import os, sys\n"
        f"os.makedirs({str(mark.parent)!r}, exist_ok=True)\n"
        f"open({str(mark)!r}, 'a').write({who + chr(10)!r})\n"
        f"print({CRY!r}, file=sys.stderr, flush=True)\n"
        f"sys.exit({CRY!r})\n"
    )


def project(mark: Path, name: str) -> dict[str, str | bytes]:
    """A Python project that can only be built by a backend of its own, which comes with it."""
    return {
        "pyproject.toml": (
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            f'[project]\nname = "{name}"\nversion = "1.0"\nscripts = {{ {name} = "server:main" }}\n'
        ),
        "backend.py": python_that_marks(mark, "backend"),
        "setup.py": python_that_marks(mark, "setup.py"),
        "server.py": python_that_marks(mark, "server.py"),
        "conftest.py": python_that_marks(mark, "conftest.py"),
        "sitecustomize.py": python_that_marks(mark, "sitecustomize.py"),
        "setup.cfg": "[metadata]\nversion = attr: backend.version\n",
        "Makefile": f"all:\n\techo make >> {mark}\n",
        ".dockerignore": "nothing\n",
        "config.json": json.dumps({"credsStore": "evil", "cliPluginsExtraDirs": ["."]}),
        "docker-credential-evil": f"#!/bin/sh\necho helper >> {mark}\n",
    }


def sdist(mark: Path, name: str) -> bytes:
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nSummary: Says what it is\n"
    return tar_gz(
        {f"{name}-1.0/{path}": text for path, text in (project(mark, name) | {"PKG-INFO": metadata}).items()}
    )


def wheel(name: str, version: str = "1.0", **more: str) -> bytes:
    """The same bytes for the same words: a moment of its own in each would give each another hash."""
    info = f"{name}-{version}.dist-info"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        texts = {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{info}/entry_points.txt": f"[console_scripts]\n{name} = server:main\n",
            **more,
        }
        for path, text in texts.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return packed.getvalue()


def npm_package(mark: Path, name: str) -> bytes:
    script = f'node -e "{_javascript(mark)}"'
    scripts = ("preinstall", "install", "postinstall", "prepare", "prepublish", "view", "preview")
    manifest = {
        "name": name,
        "version": "1.0.0",
        "bin": {name: "server.js"},
        "scripts": dict.fromkeys(scripts, script),
    }
    return tar_gz(
        {
            "package/package.json": json.dumps(manifest),
            "package/server.js": "#!/usr/bin/env node\n",
            "package/.npmrc": "ignore-scripts=false\nscript-shell=/bin/sh\n",
            "package/binding.gyp": "{ 'targets': [{ 'target_name': '<!(exit 1)' }] }",
        }
    )


def _javascript(mark: Path) -> str:
    write = f"const fs = require('fs'); fs.mkdirSync('{mark.parent}', {{recursive: true}}); "
    return write + f"fs.appendFileSync('{mark}', 'npm'); console.error('{CRY}'); process.exit(1)"


def repository_inside(mark: Path) -> dict[str, str | bytes]:
    """A repository in an archive: whoever asks git about the directory runs what its configuration names."""
    command = f"ext::sh -c echo% git% >>% {mark}"
    return {
        ".git/HEAD": "ref: refs/heads/main\n",
        ".git/refs/heads/main": "1" * 40 + "\n",
        ".git/objects/info/packs": "",
        ".git/config": (
            "[core]\n\trepositoryformatversion = 1\n"
            f'\tfsmonitor = "echo fsmonitor >> {mark}; false"\n\tsshCommand = "echo ssh >> {mark}; false"\n'
            '[extensions]\n\tpartialClone = origin\n[protocol "ext"]\n\tallow = always\n'
            f'[remote "origin"]\n\tpromisor = true\n\turl = "{command}"\n'
        ),
    }


def tar_gz(files: Files) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


class PackageHost(ThreadingHTTPServer):
    """A package index (PEP 691) at /simple/ and an npm registry at /npm/. `files` by their names.

    `told` is what the registry says of a version besides; what lies at /moved leads to `moved_to`.
    """

    daemon_threads = True

    def __init__(self, host: str) -> None:
        super().__init__((host, 0), _Answering)
        self.files: dict[str, bytes] = {}
        self.told: dict[str, Any] = {"description": "\x1b]0;taken\x07 --registry=x", "hasInstallScript": True}
        self.moved_to = ""
        self.root = f"http://{host}:{self.server_port}"

    def speak_tls(self, certificate: Path, key: Path) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.root = self.root.replace("http:", "https:")

    @property
    def pip(self) -> str:
        return f"{self.root}/simple"

    @property
    def npm(self) -> str:
        return f"{self.root}/npm/"

    def handle_error(self, *_: object) -> None:
        """A client that does not stay to the end is no matter of a test."""


@contextmanager
def package_host(host: str = "127.0.0.1", tls: Sequence[Path] = ()) -> Iterator[PackageHost]:
    server = PackageHost(host)
    if tls:
        server.speak_tls(*tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Answering(BaseHTTPRequestHandler):
    server: PackageHost

    def do_GET(self) -> None:
        kind, _, name = self.path.strip("/").partition("/")
        if kind == "moved":
            self.send_response(302)
            self.send_header("Location", f"{self.server.moved_to}{self.path}")
            self.end_headers()
            return
        answer = {"simple": self._simple, "npm": self._npm, "files": self._file}.get(kind)
        content = answer(name) if answer else None
        self.send_response(200 if content is not None else 404)
        as_json = "application/vnd.pypi.simple.v1+json" if kind == "simple" else "application/json"
        self.send_header("Content-Type", "application/octet-stream" if kind == "files" else as_json)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None: ...

    def _simple(self, name: str) -> bytes | None:
        begins = re.compile(rf"{re.escape(name)}-\d")
        own = {file: data for file, data in self.server.files.items() if begins.match(_normal(file))}
        files = [
            {
                "filename": file,
                "url": f"/files/{file}",
                "hashes": {"sha256": hashlib.sha256(data).hexdigest()},
            }
            for file, data in own.items()
        ]
        page = {"meta": {"api-version": "1.0"}, "name": name, "files": files, "versions": ["1.0"]}
        return json.dumps(page).encode() if files else None

    def _npm(self, name: str) -> bytes | None:
        data = self.server.files.get(f"{name}.tgz")
        if data is None:
            return None
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            manifest = json.load(archive.extractfile("package/package.json"))  # type: ignore[arg-type]
        integrity = f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"
        dist = {"tarball": f"{self.server.root}/files/{name}.tgz", "integrity": integrity}
        versions = {"1.0.0": {**manifest, **self.server.told, "dist": dist}}
        return json.dumps({"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": versions}).encode()

    def _file(self, name: str) -> bytes | None:
        return self.server.files.get(name)


def _normal(file: str) -> str:
    return file.replace("_", "-").lower()
