"""An npm registry on the loopback that keeps count of who is asked for."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


class Registry:
    """`packages` by their name: package.json (with `version`) and the files beside it."""

    def __init__(self, packages: Mapping[str, tuple[dict[str, Any], Mapping[str, str]]]) -> None:
        self.asked: list[str] = []
        self.url = ""
        self._packages = packages
        self._archives = {name: _archive(*found) for name, found in packages.items()}

    def answer(self, path: str) -> bytes | None:
        name, _, file = path.strip("/").partition("/-/")
        if file:
            return self._archives.get(name)
        self.asked.append(name)
        return self._document(name).encode() if name in self._packages else None

    def _document(self, name: str) -> str:
        package, archive = self._packages[name][0], self._archives[name]
        version = package["version"]
        checked = base64.b64encode(hashlib.sha512(archive).digest()).decode()
        dist = {
            "tarball": f"{self.url}{name}/-/{name.rpartition('/')[2]}-{version}.tgz",
            "integrity": f"sha512-{checked}",
            "shasum": hashlib.sha1(archive, usedforsecurity=False).hexdigest(),
        }
        versions = {version: {"name": name, **package, "dist": dist}}
        return json.dumps({"name": name, "dist-tags": {"latest": version}, "versions": versions})


def _archive(package: dict[str, Any], files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in {"package.json": json.dumps(package), **files}.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size, info.mode = len(text.encode()), 0o755
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


@contextmanager
def serving(registry: Registry) -> Iterator[Registry]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = registry.answer(unquote(self.path.partition("?")[0]))
            self.send_response(404 if found is None else 200)
            body = b'{"error": "Not found"}' if found is None else found
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        registry.url = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()
