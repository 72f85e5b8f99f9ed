from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hosting.deadline import Deadline
from hosting.errors import Cancelled, SourceError
from hosting.sources.base import BuildContext
from hosting.sources.upload import ArchiveLimits, ArchiveSource
from tests.hosting.builder.small_disk import small_disk


def unpack(archive: Path, into: Path, limits: ArchiveLimits | None = None) -> BuildContext:
    source = ArchiveSource(archive, limits or ArchiveLimits())
    return source.fetch(into, deadline=Deadline.of(30), log=lambda _: None)


def tar(path: Path, *members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                archive.addfile(*_file(*member))
    return path


def _file(name: str, content: bytes) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, io.BytesIO(content)


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def zip_link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


FILES = (("server.py", b"print(1)\n"), ("tools/one.py", b"x\n"))


@pytest.mark.parametrize(
    "make",
    [
        lambda path: tar(path, *FILES),
        lambda path: tar(path, *FILES, mode="w"),
        lambda path: tar(path, *FILES, mode="w:"),
        lambda path: zipped(path, *FILES),
    ],
)
def test_what_an_archive_holds(make: Callable[[Path], Path], tmp_path: Path) -> None:
    archive = make(tmp_path / "upload")

    context = unpack(archive, tmp_path / "into")

    found = {path.relative_to(context.path).as_posix() for path in context.path.rglob("*.py")}
    assert found == {"server.py", "tools/one.py"}
    assert context.revision == f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"


def test_a_single_top_level_directory_is_left_out(tmp_path: Path) -> None:
    archive = zipped(
        tmp_path / "a.zip", ("server-1.0/", b""), ("server-1.0/main.py", b""), ("__MACOSX/x", b"")
    )

    assert [path.name for path in unpack(archive, tmp_path / "into").path.iterdir()] == ["main.py"]


def test_files_are_readable_and_keep_their_executable_bit(tmp_path: Path) -> None:
    script, _ = _file("run.sh", b"")
    script.mode = 0o4700
    secret, _ = _file("data", b"")
    secret.mode = 0o600

    context = unpack(tar(tmp_path / "a.tgz", script, secret), tmp_path / "into")

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in context.path.iterdir()}
    assert modes == {"run.sh": 0o755, "data": 0o644}


def test_links_within_the_archive(tmp_path: Path) -> None:
    archive = tar(
        tmp_path / "a.tgz",
        ("lib/real.py", b"x"),
        special("lib/soft.py", tarfile.SYMTYPE, "../lib/real.py"),
        special("hard.py", tarfile.LNKTYPE, "lib/real.py"),
    )

    path = unpack(archive, tmp_path / "into").path

    assert (path / "lib/soft.py").read_text() == (path / "hard.py").read_text() == "x"
    assert (path / "hard.py").stat().st_nlink == 1


@pytest.mark.parametrize(
    "member",
    [
        ("../out", b"x"),
        ("a/../../out", b"x"),
        ("/etc/out", b"x"),
        ("..\\out", b"x"),
        ("C:/out", b"x"),
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("link", tarfile.SYMTYPE, "../out"),
        special("../link", tarfile.SYMTYPE, "x"),
        special("link", tarfile.LNKTYPE, "/etc/passwd"),
        special("link", tarfile.LNKTYPE, "../out"),
        special("link", tarfile.LNKTYPE, "missing"),
        special("pipe", tarfile.FIFOTYPE),
        special("device", tarfile.CHRTYPE),
        special("device", tarfile.BLKTYPE),
    ],
)
def test_ways_out_of_a_tar(member: tarfile.TarInfo | tuple[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="The archive was refused"):
        unpack(tar(tmp_path / "a.tgz", ("ok", b"x"), member), tmp_path / "inside" / "into")
    assert not (tmp_path / "inside" / "out").exists()


def test_a_chain_of_links_out(tmp_path: Path) -> None:
    archive = tar(
        tmp_path / "a.tgz",
        ("deep/down/file", b"x"),
        special("door", tarfile.SYMTYPE, "deep/down"),
        special("out", tarfile.SYMTYPE, "door/../../../outside"),
    )

    with pytest.raises(SourceError, match="leads out of the archive"):
        unpack(archive, tmp_path / "into")


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = tar(tmp_path / "a.tgz", special("d", tarfile.SYMTYPE, str(outside)), ("d/file", b"x"))

    with pytest.raises(SourceError):
        unpack(archive, tmp_path / "into")
    assert not list(outside.iterdir())


@pytest.mark.parametrize(
    "members", [[("../out", b"x")], [("/out", b"x")], [(zip_link("link"), b"/etc/passwd")]]
)
def test_ways_out_of_a_zip(members: list[tuple[str | zipfile.ZipInfo, bytes]], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="The archive was refused"):
        unpack(zipped(tmp_path / "a.zip", ("ok", b""), *members), tmp_path / "inside" / "into")
    assert not (tmp_path / "inside" / "out").exists()


@pytest.mark.parametrize("make", [tar, zipped])
def test_too_many_bytes(make: Callable[..., Path], tmp_path: Path) -> None:
    archive = make(tmp_path / "a", ("big", bytes(5 << 20)))

    with pytest.raises(SourceError, match="more than 1 MiB"):
        unpack(archive, tmp_path / "into", ArchiveLimits(total_bytes=1 << 20))


@pytest.mark.parametrize("make", [tar, zipped])
def test_a_bomb(make: Callable[..., Path], tmp_path: Path) -> None:
    archive = make(tmp_path / "a", ("big", bytes(8 << 20)))

    with pytest.raises(SourceError, match="looks like a bomb"):
        unpack(archive, tmp_path / "into", ArchiveLimits(ratio=50, ratio_from=1 << 20))


def test_a_bomb_in_a_header(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 900 << 20
    path = tmp_path / "a.tgz"
    path.write_bytes(gzip.compress(info.tobuf()))

    with pytest.raises(SourceError, match="header that is too large"):
        unpack(path, tmp_path / "into")


def test_too_many_entries(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", *((f"f{number}", b"") for number in range(20)))

    with pytest.raises(SourceError, match="more than 10 entries"):
        unpack(archive, tmp_path / "into", ArchiveLimits(entries=10))


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"PK\x03\x04 broken", b"\x1f\x8b broken", gzip.compress(b"no tar"), os.urandom(2048)],
    ids=["nothing", "text", "broken zip", "broken gzip", "gzip of no tar", "noise"],
)
def test_what_is_not_an_archive(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)

    with pytest.raises(SourceError, match="not a tar, "):
        unpack(path, tmp_path / "into")


def test_a_truncated_archive(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tgz", ("data", os.urandom(100_000)))
    path.write_bytes(path.read_bytes()[:50_000])

    with pytest.raises(SourceError, match="damaged"):
        unpack(path, tmp_path / "into")


@pytest.mark.parametrize("name", [b"a/\xff\xa9.py", b"a/\xc3\xff.py"])
def test_a_zip_whose_names_are_not_what_they_say(name: bytes, tmp_path: Path) -> None:
    whole = zipped(tmp_path / "whole", ("a/é.py", b"x"))
    (tmp_path / "odd").write_bytes(whole.read_bytes().replace("a/é.py".encode(), name))
    with pytest.raises(SourceError, match="damaged"):
        unpack(tmp_path / "odd", tmp_path / "into")


def test_an_archive_without_files(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no files"):
        unpack(zipped(tmp_path / "a.zip", ("empty/", b"")), tmp_path / "into")


def test_an_encrypted_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("secret", b"x"))
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag in the local header
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # and in the directory
    path.write_bytes(content)

    with pytest.raises(SourceError, match="encrypted"):
        unpack(path, tmp_path / "into")


@pytest.mark.real
def test_a_full_disk(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", ("large", os.urandom(1 << 20)))

    with small_disk(tmp_path / "disk") as disk, pytest.raises(SourceError, match="disk filled up") as caught:
        unpack(archive, disk / "into")
    assert not caught.value.permanent


def test_a_cancelled_upload(tmp_path: Path) -> None:
    source = ArchiveSource(zipped(tmp_path / "a.zip", ("x", b"x")))

    with pytest.raises(Cancelled):
        source.fetch(tmp_path / "into", deadline=Deadline.of(10, lambda: True), log=print)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("packages/server/a.py", "README"), "packages/server"),
        (("packages/server/a.py",), "packages/server"),  # named from above the single directory
        (("team-tool-1.0/packages/server/a.py", "team-tool-1.0/README"), "packages/server"),
        (("packages/packages/server/a.py",), "packages/server"),
        (("a.py",), ""),
    ],
)
def test_a_subdirectory(names: tuple[str, ...], wanted: str, tmp_path: Path) -> None:
    archive = tar(tmp_path / "upload", *((name, b"x") for name in names))
    source = ArchiveSource(archive, subdirectory=wanted)

    context = source.fetch(tmp_path / "into", deadline=Deadline.of(30), log=lambda _: None)

    assert [path.name for path in context.path.iterdir()] == ["a.py"]
    assert context.path == (context.top / wanted).resolve()


def test_a_subdirectory_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    archive = tar(tmp_path / "upload", ("packages/server/a.py", b"x"), ("packages/core/a.py", b"x"))
    source = ArchiveSource(archive, subdirectory="packages/sever")

    with pytest.raises(SourceError, match="The archive has no directory “packages/sever”") as caught:
        source.fetch(tmp_path / "into", deadline=Deadline.of(30), log=lambda _: None)
    assert caught.value.hint == "There are, in packages: core, server."


@pytest.mark.parametrize("wanted", ["../x", "/etc", "a/../../b"])
def test_a_subdirectory_outside_is_never_looked_for(wanted: str, tmp_path: Path) -> None:
    archive = tar(tmp_path / "upload", ("a.py", b"x"))
    with pytest.raises(SourceError, match="does not lie inside the archive"):
        ArchiveSource(archive, subdirectory=wanted).fetch(
            tmp_path / "into", deadline=Deadline.of(30), log=print
        )
    assert not (tmp_path / "into").exists()


def test_a_subdirectory_that_is_a_link_within_the_archive(tmp_path: Path) -> None:
    link = special("server", tarfile.SYMTYPE, "packages/one")
    archive = tar(tmp_path / "upload", ("packages/one/a.py", b"x"), link)
    source = ArchiveSource(archive, subdirectory="server")

    context = source.fetch(tmp_path / "into", deadline=Deadline.of(30), log=lambda _: None)

    assert context.path == context.top / "packages/one"


def test_pointers_of_git_lfs_are_told_of(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 123456\n" % 7
    archive = tar(tmp_path / "upload", ("top/deeper/model.bin", pointer), ("top/server.py", b"x"))
    log: list[str] = []

    ArchiveSource(archive).fetch(tmp_path / "into", deadline=Deadline.of(30), log=log.append)

    assert log[-1].endswith("which the archive does not hold: deeper/model.bin")
