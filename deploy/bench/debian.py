"""Root file systems from Debian packages, for any architecture, without root's apt and without emulation.

Packages are resolved and fetched with an apt configuration of our own and only unpacked: running their
maintainer scripts under emulation takes minutes, and the little that they do here is done by hand.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .requirement import BenchError, program

_SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.sources", "/etc/apt/sources.list.d/*.list")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_BASE = (
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "debianutils", "findutils", "grep", "gzip"),
    *("hostname", "libc-bin", "netbase", "sed", "tar", "tzdata"),
)
_UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian")
CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"


def ca_bundle() -> Path:
    """The certificates that this machine trusts, including those of a proxy."""
    for path in (os.environ.get("SSL_CERT_FILE"), f"/{CA_BUNDLE}"):
        if path and Path(path).is_file():
            return Path(path)
    raise BenchError("no CA bundle was found: apt-get install ca-certificates, or set SSL_CERT_FILE")


def fetch(packages: list[str], architecture: str, work: Path) -> list[Path]:
    """Download packages of an architecture with all they depend on; returns the .deb files."""
    apt = _private_apt(architecture, work)
    _run(["apt-get", *apt, "update"])
    _run(["apt-get", *apt, "-y", "--no-install-recommends", "--download-only", "install", *packages])
    return sorted((work / "cache/archives").glob("*.deb"))


def fetch_alone(packages: Sequence[str], suite: str, work: Path) -> list[Path]:
    """Download packages of a Debian release for this machine, without what they depend on."""
    apt = _private_apt("", work, suite=suite)
    _run(["apt-get", *apt, "update"])
    _run(["apt-get", *apt, "download", *packages], work)
    return sorted(work.glob("*.deb"))


def fetch_source(package: str, suite: str, work: Path) -> Path:
    """Download a source package of a Debian release; returns its .dsc file."""
    apt = _private_apt("", work, kind="deb-src", suite=suite)
    _run(["apt-get", *apt, "update"])
    _run(["apt-get", *apt, "source", "--download-only", package], work)
    [description] = work.glob("*.dsc")
    return description


def root_file_system(packages: list[str], architecture: str, work: Path) -> Path:
    """A directory with a usable Debian root file system that holds `packages`."""
    root = work / "root"
    _make_merged_usr(root)
    for deb in fetch([*_BASE, *packages], architecture, work):
        unpack(deb, root)
    _finish(root)
    return root


def unpack_file(deb: Path, member: str, target: Path) -> None:
    """One file out of a package."""
    with target.open("wb") as out, _contents(deb) as files:
        subprocess.run(["tar", "-xO", member], stdin=files.stdout, stdout=out, check=True)
    target.chmod(0o755)


def _private_apt(architecture: str, work: Path, kind: str = "deb", suite: str = "") -> list[str]:
    """Options for apt-get; without an architecture it is this machine's."""
    for directory in ("lists/partial", "cache/archives/partial"):
        (work / directory).mkdir(parents=True)
    (work / "status").touch()
    signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
    (work / "sources.list").write_text(f"{kind} {signed}{_mirror()} {suite or _suite()} main\n")
    options = {
        "Dir::Etc::SourceList": work / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State::Lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::State::extended_states": work / "extended_states",
        "Dir::Cache": work / "cache",
        "Dir::Log": work / "log",
        "APT::Sandbox::User": "root",
        "APT::Keep-Downloaded-Packages": "true",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    if architecture:
        options |= {"APT::Architecture": architecture, "APT::Architectures": architecture}
    return ["-qq", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]


def _mirror() -> str:
    """BENCH_DEBIAN_MIRROR, or the first mirror of this machine's own apt sources."""
    if mirror := os.environ.get("BENCH_DEBIAN_MIRROR"):
        return mirror
    paths = (path for pattern in _SOURCES for path in sorted(Path("/").glob(pattern.lstrip("/"))))
    for line in (line for path in paths for line in path.read_text().splitlines()):
        if found := re.match(r"(?:URIs:|deb )\s*(?:\[[^]]*\]\s*)?(https?://\S+)", line):
            return found.group(1)
    raise BenchError("no Debian mirror in /etc/apt: set BENCH_DEBIAN_MIRROR to one")


def _suite() -> str:
    """BENCH_DEBIAN_SUITE, or the release that this machine runs."""
    if suite := os.environ.get("BENCH_DEBIAN_SUITE"):
        return suite
    release = Path("/etc/os-release").read_text()
    if found := re.search(r"^VERSION_CODENAME=(\w+)", release, re.MULTILINE):
        return found.group(1)
    raise BenchError("/etc/os-release names no release: set BENCH_DEBIAN_SUITE to a Debian one")


def _make_merged_usr(root: Path) -> None:
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")


def unpack(deb: Path, root: Path) -> None:
    root.mkdir(exist_ok=True)
    with _contents(deb) as files:
        command = ["tar", "-x", "-C", str(root), "--keep-directory-symlink", "--no-same-owner"]
        subprocess.run(command, stdin=files.stdout, check=True)


def _contents(deb: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([program("dpkg-deb"), "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE)


def _finish(root: Path) -> None:
    """What the maintainer scripts would have done, as far as a container needs it."""
    for name in ("passwd", "group"):
        shutil.copyfile(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    (root / "usr/bin/which").symlink_to("which.debianutils")
    (root / "etc/localtime").symlink_to("/usr/share/zoneinfo/Etc/UTC")
    (root / CA_BUNDLE).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ca_bundle(), root / CA_BUNDLE)
    for marker in root.glob("usr/lib/python3.*/EXTERNALLY-MANAGED"):
        marker.unlink()
    for directory in _UNUSED:
        shutil.rmtree(root / directory, ignore_errors=True)
    for directory in ("tmp", "var/tmp"):
        (root / directory).chmod(0o1777)


def _run(command: list[str], directory: Path | None = None) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{command[0]} failed:\n{done.stderr.strip()}")
