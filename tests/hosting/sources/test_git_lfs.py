"""A repository with files in Git LFS, at a forge on the loopback that speaks its batch API."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hosting.deadline import Deadline
from hosting.errors import SourceError
from hosting.sources.git import GitSource
from hosting.sources.git_lfs_client import Access, LfsServer, Refused, Wanted
from hosting.sources.git_quota import CheckoutLimits
from tests.hosting.sources.git_server import GitServer, Repository, serving

TOKEN = "ghp_0123456789"
HERE = ("127.0.0.1",)
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize %d\n"
TRACKED = "*.bin filter=lfs diff=lfs merge=lfs -text\n"


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[GitServer]:
    with serving(tmp_path / "forge") as server:
        yield server


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "forge" / "server")


def commit(repository: Repository, **files: str) -> None:
    repository.commit("First", **{"__gitattributes": TRACKED, "server__py": "print(1)\n", **files})


def fetch(forge: GitServer, into: Path, *, log: list[str] | None = None, **options: Any) -> Path:
    given = {"protocols": ("http",), "private_hosts": HERE, **options}
    source = GitSource(forge.url("server"), **given)
    return source.fetch(into, deadline=Deadline.of(60), log=[].append if log is None else log.append).path


def test_the_content_is_in_place_of_the_pointers(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    large = os.urandom(300_000)
    pointer = forge.lfs.keep(large)
    commit(
        repository,
        model__bin=pointer,
        **{"deeper/café__bin": pointer, "deeper/other__bin": forge.lfs.keep(b"x")},
    )
    (repository.path / "model.bin").chmod(0o755)
    repository.commit("It is executable")
    log: list[str] = []

    path = fetch(forge, tmp_path / "into", log=log)

    assert (path / "model.bin").read_bytes() == (path / "deeper/café.bin").read_bytes() == large
    assert (path / "deeper/other.bin").read_bytes() == b"x"
    assert (path / "model.bin").stat().st_mode & 0o111
    assert len(list(path.rglob("*.bin"))) == len(list(path.rglob("*"))) - 3, "nothing else was left there"
    assert "Fetching deeper/café.bin, deeper/other.bin, model.bin from Git LFS (300001 bytes)" in log


def test_a_pointer_that_no_attribute_tells_of_stays(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    commit(repository, example__txt=POINTER % (7, 9))
    log: list[str] = []

    path = fetch(forge, tmp_path / "into", log=log)

    assert (path / "example.txt").read_text() == POINTER % (7, 9)
    assert "example.txt looks like a pointer of Git LFS; no attribute says that it is one" in log
    assert not forge.lfs.seen


def test_files_of_a_submodule(forge: GitServer, repository: Repository, tmp_path: Path) -> None:
    library = Repository(tmp_path / "forge" / "library")
    commit(library, model__bin=forge.lfs.keep(b"of the library"))
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", "../library", "library")
    repository.commit("Use the library")

    path = fetch(forge, tmp_path / "into")

    assert (path / "library/model.bin").read_bytes() == b"of the library"
    assert forge.lfs.seen[0][0] == "/library.git/info/lfs/objects/batch"


def test_what_the_server_does_not_have_is_named(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    files = {f"part{number}__bin": POINTER % (number, 5) for number in range(7)}
    commit(repository, **files)

    with pytest.raises(SourceError) as caught:
        fetch(forge, tmp_path / "into")

    assert caught.value.message.startswith(
        "part0.bin, part1.bin, part2.bin, part3.bin, part4.bin and 2 more are kept in Git LFS, and could not "
        "be fetched: its server does not have 000000000000 (code 404)."
    )


def test_a_repository_without_an_lfs_server(repository: Repository, tmp_path: Path) -> None:
    commit(repository, model__bin=POINTER % (7, 123456))
    source = GitSource(f"file://{repository.path}", protocols=("file",))

    with pytest.raises(
        SourceError, match=r"model.bin is kept in Git LFS, .* reached by file has no LFS server"
    ):
        source.fetch(tmp_path / "into", deadline=Deadline.of(60), log=print)


def test_a_pointer_that_cannot_be_read(forge: GitServer, repository: Repository, tmp_path: Path) -> None:
    commit(repository, model__bin="version https://git-lfs.github.com/spec/v1\nsize 3\n")

    with pytest.raises(
        SourceError, match=r"model.bin is kept in Git LFS, .* the pointer model.bin cannot be read"
    ):
        fetch(forge, tmp_path / "into")


def test_more_than_a_checkout_may_take_is_not_asked_for(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    commit(repository, model__bin=POINTER % (7, 5 << 20))

    with pytest.raises(SourceError, match=r"model.bin is kept in Git LFS, .* GIT_MAX_BYTES"):
        fetch(forge, tmp_path / "into", limits=CheckoutLimits(total_bytes=4 << 20))
    assert not forge.lfs.seen


@pytest.mark.parametrize("content", [b"short", b"xontent", b"content and more"])
def test_other_content_than_the_pointer_names(forge: GitServer, content: bytes) -> None:
    wanted = stored(forge, b"content")
    forge.lfs.objects[wanted.oid] = content

    with pytest.raises(Refused, match=r"gives other content|more than was asked for"):
        download(forge, wanted)


@pytest.mark.parametrize(
    "answer",
    [b" ", b"[]", b'{"objects": 7}', b'{"objects": []}', b"[" * 100_000, b"<html>", b'{"objects": [{}]}'],
)
def test_an_answer_that_is_no_batch(forge: GitServer, answer: bytes) -> None:
    forge.lfs.answer = answer

    with pytest.raises(Refused, match=r"answers what is no batch of Git LFS"):
        download(forge, stored(forge, b"content"))


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("http://169.254.169.254", "169.254.169.254 is an address of this machine"),
        ("http://localhost:1", "localhost:1 is an address of this machine"),
        ("file:///etc", "an address that is not asked"),
        ("https://u:p@127.0.0.1", "an address that is not asked"),
        ("ftp://x", "an address that is not asked"),
    ],
)
def test_downloads_lead_nowhere_that_is_not_asked(forge: GitServer, base: str, said: str) -> None:
    forge.lfs.base = base

    with pytest.raises(Refused, match=said):
        download(forge, stored(forge, b"content"), named=(f"127.0.0.1:{forge.server_port}",))


def test_a_redirect_takes_no_token_along(forge: GitServer, tmp_path: Path) -> None:
    wanted = stored(forge, b"content")
    with serving(tmp_path / "other") as other:
        other.lfs.objects, forge.lfs.moved = forge.lfs.objects, other.url("")[:-1]

        assert download(forge, wanted, token=TOKEN) == b"content"

        assert [bool(authorization) for _, authorization in forge.lfs.seen] == [True]
        assert [bool(authorization) for _, authorization in other.lfs.seen] == [False, False]


def test_redirects_come_to_an_end(forge: GitServer) -> None:
    forge.lfs.moved = forge.url("")[:-1]

    with pytest.raises(Refused, match="to no end"):
        download(forge, stored(forge, b"content"))


def test_an_object_comes_whole(forge: GitServer) -> None:
    assert download(forge, stored(forge, b"content" * 50_000)) == b"content" * 50_000


def stored(forge: GitServer, content: bytes) -> Wanted:
    forge.lfs.keep(content)
    return Wanted(hashlib.sha256(content).hexdigest(), len(content))


def download(forge: GitServer, wanted: Wanted, named: tuple[str, ...] = HERE, token: str = "") -> bytes:
    access = Access(forge.url("server"), ("https", "http"), token, private_hosts=named)
    into = io.BytesIO()
    with LfsServer(forge.url("server.git/info/lfs"), access, Deadline.of(60)) as server:
        server.download(server.ask([wanted])[wanted.oid], into)
    return into.getvalue()


def test_the_token_opens_the_forge_s_lfs_and_goes_nowhere_else(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    commit(repository, model__bin=forge.lfs.keep(b"content"))
    forge.password = TOKEN
    with serving(tmp_path / "other") as other:
        other.lfs.objects = forge.lfs.objects
        forge.lfs.base, forge.lfs.headers = other.url("")[:-1], {"X-Signed": "1", "Host": "evil.example"}

        path = fetch(forge, tmp_path / "into", token=TOKEN)

        assert (path / "model.bin").read_bytes() == b"content"
        basic = "Basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
        assert [seen[1] for seen in forge.lfs.seen] == [basic]
        assert [seen[1] for seen in other.lfs.seen] == [""]


def test_a_private_forge_without_a_token(forge: GitServer, repository: Repository, tmp_path: Path) -> None:
    """Git is let in, its LFS server asks for a login."""
    library = Repository(tmp_path / "forge" / "library")
    commit(library, model__bin=forge.lfs.keep(b"content"))
    with serving(tmp_path / "forge") as private:
        private.password = TOKEN
        configured = f"[lfs]\n\turl = {private.url('library.git/info/lfs')}\n"
        commit(repository, model__bin=forge.lfs.keep(b"content"), __lfsconfig=configured)

        with pytest.raises(SourceError, match="refuses access") as caught:
            fetch(forge, tmp_path / "into", token="not-for-this-one")
        assert "Give a token" in caught.value.hint
        assert [seen[1] for seen in private.lfs.seen] == [""], "the token is another origin's"


def test_a_configured_server_that_is_no_web_address(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    commit(repository, model__bin=forge.lfs.keep(b"content"), __lfsconfig="[lfs]\n\turl = file:///etc\n")

    with pytest.raises(SourceError, match="an address that is not asked"):
        fetch(forge, tmp_path / "into")
