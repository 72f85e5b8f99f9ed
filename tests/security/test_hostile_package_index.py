"""A package index or registry that lies: about files, versions and addresses, or without an end."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hosting.build_settings import BuildSettings
from hosting.deadline import Deadline
from hosting.errors import Cancelled, SourceError
from hosting.sources import package_index, published, upload
from hosting.sources.base import BuildContext
from hosting.sources.package import PackageSource
from hosting.sources.upload import ArchiveSource
from tests.certificates import write_certificate
from tests.security import evil

Answer = tuple[int, dict[str, str], bytes]
NAME = "some_server-1.0-py3-none-any.whl"


class Hostile:
    """Answers a path as `answers` says; an answer that is a function writes for itself."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[Any], None]] = {}
        self.asked: list[tuple[str, str]] = []  # path, Authorization
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def page(self, url: str, **more: object) -> None:
        """One wheel, which lies at `url`."""
        file = {"filename": NAME, "url": url, **more}
        headers = {"Content-Type": package_index.JSON_PAGE}
        self.answers["/simple/some-server/"] = 200, headers, json.dumps({"files": [file]}).encode()

    def look(self, into: Path, deadline: Deadline | None = None, **settings: Any) -> BuildContext:
        given = {"pip_index_url": f"{self.url}/simple", **settings}
        source = PackageSource("pypi", "some-server", settings=BuildSettings(**given))
        return source.fetch(into, deadline=deadline or Deadline.of(60), log=lambda _: None)


def _handler(hostile: Hostile) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hostile.asked.append((self.path, self.headers.get("Authorization", "")))
            answer = hostile.answers.get(self.path, (404, {}, b""))
            if callable(answer):
                answer(self)
                return
            self.send_response(answer[0])
            for name, value in answer[1].items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer[2])

        def log_message(self, *_: object) -> None: ...

    return Handler


@contextmanager
def serving() -> Iterator[Hostile]:
    hostile = Hostile()
    thread = threading.Thread(target=hostile.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hostile
    finally:
        hostile.http.shutdown()
        hostile.http.server_close()
        thread.join()


@pytest.fixture
def index() -> Iterator[Hostile]:
    with serving() as hostile:
        yield hostile


@pytest.fixture
def elsewhere() -> Iterator[Hostile]:
    with serving() as hostile:
        yield hostile


def test_a_file_that_is_not_the_one_that_the_index_tells_of(index: Hostile, tmp_path: Path) -> None:
    wheel = evil.wheel("some-server")
    index.page("/file", hashes={"sha256": hashlib.sha256(b"another").hexdigest()})
    index.answers["/file"] = 200, {}, wheel
    with pytest.raises(SourceError, match="does not have the sha256"):
        index.look(tmp_path / "into")

    index.page("/file", hashes={"sha256": hashlib.sha256(wheel).hexdigest()})
    assert index.look(tmp_path / "again").command == ("some-server",)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://h/x", "//[", "data:,x", "http://\x00/"],
)
def test_a_file_at_an_address_of_another_kind(index: Hostile, tmp_path: Path, url: str) -> None:
    index.page(url)
    with pytest.raises(SourceError, match=r"cannot be asked|no page of an index"):
        index.look(tmp_path / "into")


@pytest.mark.parametrize(
    "page", [b"[]", b"{}", b'{"files": 1}', b'{"files": [1]}', b"[" * 100_000, b"\xff", b"1e9"]
)
def test_a_page_that_is_none(index: Hostile, tmp_path: Path, page: bytes) -> None:
    index.answers["/simple/some-server/"] = 200, {"Content-Type": package_index.JSON_PAGE}, page
    with pytest.raises(SourceError, match="no page of an index"):
        index.look(tmp_path / "into")


def test_files_whose_names_lead_elsewhere_are_none_of_the_package(index: Hostile, tmp_path: Path) -> None:
    names = [
        "../some_server-1.0.tar.gz",
        "-r-1.0.tar.gz",
        "other-1.0.tar.gz",
        "some_server-$(id).tar.gz",
        "x" * 9000,
    ]
    page = {"files": [{"filename": name, "url": "/file"} for name in names]}
    index.answers["/simple/some-server/"] = (
        200,
        {"Content-Type": package_index.JSON_PAGE},
        json.dumps(page).encode(),
    )
    with pytest.raises(SourceError, match="pypi has no package some-server"):
        index.look(tmp_path / "into")


def test_a_file_without_an_end(index: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 65_536)

    monkeypatch.setattr(package_index, "MAX_FILE", 1 << 20)
    index.http.handle_error = lambda *_: None  # type: ignore[method-assign]
    index.page("/file")
    index.answers["/file"] = endless
    with pytest.raises(SourceError, match="is larger than the 1 MiB"):
        index.look(tmp_path / "into")


def test_an_answer_that_comes_byte_by_byte_ends_with_the_deployment(index: Hostile, tmp_path: Path) -> None:
    """Neither a timeout of the socket, which each byte renews, nor the whole of a chunk is waited for."""
    cancelled, gone = threading.Event(), threading.Event()

    def dripping(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not gone.wait(0.02):
            handler.wfile.write(b"x")
            cancelled.set()

    index.http.handle_error = lambda *_: None  # type: ignore[method-assign]
    index.page("/file")
    index.answers["/file"] = dripping
    try:
        with pytest.raises(Cancelled):
            index.look(tmp_path / "into", Deadline.of(60, cancelled.is_set))
    finally:
        gone.set()


def test_an_index_that_leads_round_and_round(index: Hostile, tmp_path: Path) -> None:
    index.answers["/simple/some-server/"] = 302, {"Location": "/simple/some-server/"}, b""
    with pytest.raises(SourceError, match="from address to address"):
        index.look(tmp_path / "into")
    assert len(index.asked) <= package_index.MAX_REDIRECTS + 1


def test_an_index_that_leads_from_https_to_http(index: Hostile, elsewhere: Hostile, tmp_path: Path) -> None:
    tls = write_certificate(tmp_path)
    with evil.package_host(tls=tls) as secure:
        context = {"pip_index_url": f"{secure.root}/moved", "ca_bundle": tls[0]}
        secure.moved_to = elsewhere.url
        with pytest.raises(SourceError, match="from https to another protocol"):
            index.look(tmp_path / "into", **context)
    assert elsewhere.asked == []


def test_the_login_of_the_index_goes_to_no_other_host(
    index: Hostile, elsewhere: Hostile, tmp_path: Path
) -> None:
    wheel = evil.wheel("some-server")
    index.page(f"{elsewhere.url}/file")
    elsewhere.answers["/file"] = 302, {"Location": f"{elsewhere.url}/there"}, b""
    elsewhere.answers["/there"] = 200, {}, wheel

    index.look(tmp_path / "into", pip_index_url=f"{index.url.replace('//', '//me:secret@')}/simple")

    assert [login.split()[0] for _, login in index.asked] == ["Basic"]
    assert [login for _, login in elsewhere.asked] == ["", ""]


def test_a_wheel_for_a_machine_of_another_kind_is_read_all_the_same(index: Hostile, tmp_path: Path) -> None:
    name = "some_server-1.0-cp39-cp39-win_arm64.whl"
    page = {"files": [{"filename": name, "url": "/file", "requires-python": "<3.10"}]}
    headers = {"Content-Type": package_index.JSON_PAGE}
    index.answers["/simple/some-server/"] = 200, headers, json.dumps(page).encode()
    index.answers["/file"] = 200, {}, evil.wheel("some-server")
    assert index.look(tmp_path / "into").command == ("some-server",)


def test_an_index_that_speaks_html_alone(index: Hostile, tmp_path: Path) -> None:
    digest = hashlib.sha256(evil.wheel("some-server")).hexdigest()
    page = (
        f'<a href="/file/{NAME}#sha256={digest}">{NAME}</a>'
        f'<a href="javascript:alert(1)" data-yanked>some_server-9.0.tar.gz</a><!--'
    )
    index.answers["/simple/some-server/"] = 200, {"Content-Type": "text/html"}, page.encode()
    index.answers[f"/file/{NAME}"] = 200, {}, evil.wheel("some-server")
    assert index.look(tmp_path / "into").revision == "some-server==1.0"


@pytest.mark.slow
@pytest.mark.parametrize(
    "version", ["file:/etc", "git+ssh://h/x", "npm:other@1", "http://h/x.tgz", "x.tgz", "", "a b"]
)
def test_a_registry_whose_version_is_a_dependency_of_another_kind(version: str, tmp_path: Path) -> None:
    """It would be written into package.json, as what to install."""
    with evil.package_host() as packages:
        packages.files["evil-npm.tgz"] = evil.npm_package(tmp_path / "mark", "evil-npm")
        packages.told["version"] = version
        source = PackageSource("npm", "evil-npm", settings=BuildSettings(npm_registry=packages.npm))
        with pytest.raises(
            SourceError, match=r"what is no version|npm knows no package|could not be looked up"
        ):
            source.fetch(tmp_path / "into", deadline=Deadline.of(60), log=lambda _: None)
    assert not (tmp_path / "into/package.json").exists()


@pytest.mark.parametrize("version", ["1.tgz", "x.tar", "x.tar.gz", "x.TGZ"])
def test_a_version_that_npm_would_take_for_a_file(version: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a version"):
        PackageSource("npm", "some-server", version).check()


def test_a_zip_whose_directory_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an upload and of a wheel: zipfile makes an object of each entry before any can be counted."""
    packed = tmp_path / "x.whl"
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(3000):
            archive.writestr(f"{number}", "")
    monkeypatch.setattr(upload, "MAX_DIRECTORY", 100_000)

    with pytest.raises(SourceError, match="a directory that is too large"):
        ArchiveSource(packed).fetch(tmp_path / "into", deadline=Deadline.of(30), log=lambda _: None)
    with pytest.raises(SourceError, match="a directory that is too large"):
        published.read(packed, "x", Deadline.of(30))


@pytest.mark.parametrize("packed", [b"", b"PK\x03\x04", b"\x1f\x8b\x08", b"not a tar at all" * 100])
def test_an_archive_that_is_damaged(index: Hostile, tmp_path: Path, packed: bytes) -> None:
    index.page("/file")
    index.answers["/file"] = 200, {}, packed
    with pytest.raises(SourceError, match=r"is damaged|brings no command"):
        index.look(tmp_path / "into")


def test_an_archive_whose_links_and_names_lead_out_of_it_is_read_and_never_written(
    index: Hostile, tmp_path: Path
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../../outside", "x")
        archive.writestr("/etc/outside", "x")
        archive.writestr("some_server-1.0.dist-info/entry_points.txt", "[console_scripts]\nrun = a:b\n")
    index.page("/file")
    index.answers["/file"] = 200, {}, packed.getvalue()

    assert index.look(tmp_path / "work/into").command == ("run",)
    assert sorted(path.name for path in (tmp_path / "work").rglob("*")) == ["into", "requirements.txt"]
    assert not list(tmp_path.rglob("outside"))
