"""A git repository at a branch, tag or commit: fetched shallow, with its submodules, without its history."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from hosting import tooling
from hosting.build_settings import BuildSettings
from hosting.deadline import Deadline
from hosting.errors import SourceError
from hosting.process_group import LineSink
from hosting.sources import git_errors, git_lfs, git_lfs_client, git_versions, subdirectory
from hosting.sources.base import BuildContext
from hosting.sources.git_room import CheckoutLimits, Room
from hosting.sources.origin import SCP_LIKE, origin_of
from outbound import InnerAddress, addresses, tunnel
from outbound.relay import Relay

COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.IGNORECASE)
ABBREVIATED = re.compile(r"[0-9a-f]{7,39}", re.IGNORECASE)
# What `git check-ref-format` forbids, and what would read as an option or as a refspec of its own.
BAD_REF = re.compile(r"^[-+]|\.\.|@\{|[\x00-\x20\x7f~^:?*\[\\]|\.lock$|/$|^/")
SHOWN = re.compile(r"(Receiving objects|Resolving deltas): 100%|^Submodule path|^Skipping submodule")

# A credential helper as a line of shell: git asks it only when a server of that origin wants a login, and the
# token stays in the environment of git and of the helper.
HELPER = '!f() { printf \'username=%s\\npassword=%s\\n\' "$MCPHOST_GIT_USER" "$MCPHOST_GIT_TOKEN"; }; f'
CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "credential.interactive": "false",
    "http.followRedirects": "initial",
    "gc.auto": "0",
    "advice.detachedHead": "false",
    "init.defaultBranch": "main",
    "submodule.fetchJobs": "2",
}


@dataclass(frozen=True)
class GitSource:
    """`ref` is a branch, tag or commit ("" = the remote's default branch).

    `token` is a password, or `user:password`. `protocols` holds for submodules too. `private_hosts`
    (`host[:port]`) are those of this machine and of private networks that may be asked, by redirects and
    submodules too; None leaves all of them open.
    """

    url: str
    ref: str = ""
    subdirectory: str = ""
    token: str = field(default="", repr=False)
    protocols: tuple[str, ...] = ("https", "ssh")
    private_hosts: tuple[str, ...] | None = None
    limits: CheckoutLimits = field(default_factory=CheckoutLimits)
    settings: BuildSettings = field(default_factory=BuildSettings, repr=False)

    def fetch(self, into: Path, *, deadline: Deadline, log: LineSink) -> BuildContext:
        """Raises `SourceError`, `Cancelled`, `TimedOut`. `revision` is the full commit id.

        git's home lies beside `into`: what a killed platform leaves there is cleared with it.
        """
        self.check()
        into.mkdir(parents=True, exist_ok=True)
        home = tempfile.TemporaryDirectory(prefix="mcphost-git-", dir=into.parent)
        with home as kept, self._guard() as relay:
            repository = _Repository(self, into, Path(kept), deadline, log, relay)
            revision, summary = repository.check_out()
            path = subdirectory.within(into, self.subdirectory, "repository")
            version = repository.version(path, revision)
        log(f"Checked out {revision[:12]} {summary}".rstrip())
        return BuildContext(path, revision, summary, top=into.resolve(), version=version)

    def check(self) -> None:
        """Raises `SourceError` for a URL, ref or subdirectory that is never given to git."""
        protocol = protocol_of(self.url)
        if protocol not in self.protocols:
            raise SourceError(
                f"A repository URL starts with one of {', '.join(self.protocols)}; this one does not.",
                hint="For example https://host/owner/repository.git.",
            )
        self._check_host()
        if BAD_REF.search(self.ref):
            raise SourceError(f"“{self.ref}” is not the name of a branch, tag or commit.")
        if re.search(r"[\x00-\x20\x7f]", self.token):
            raise SourceError("The token holds a space or a control character.", hint="Copy it again.")
        subdirectory.check(self.subdirectory, "repository")

    def _check_host(self) -> None:
        """Whether the URL plainly names an inner address; names are looked up by the guard."""
        host, port = host_of(self.url)
        if self.private_hosts is None or addresses.is_named(host, port, self.private_hosts):
            return
        try:
            addresses.check_plain(host, inner=False)
        except InnerAddress:
            raise git_errors.inner(host) from None

    @contextmanager
    def _guard(self) -> Iterator[Relay | None]:
        """What git connects through. Raises `SourceError` for what it would not connect to."""
        if self.private_hosts is None:
            yield None
            return
        with Relay(self.private_hosts) as relay:
            try:
                yield relay
            except SourceError as error:
                if relay.refused:
                    raise git_errors.inner(relay.refused[-1]) from error
                raise


def protocol_of(url: str) -> str:
    """The protocol that git would use for `url`; "" for what is refused whatever the protocol.

    Raises `SourceError` where the URL holds a password: it would end in logs and in the database in clear.
    """
    if url.startswith("-") or re.search(r"[\x00-\x20\x7f]", url):
        return ""
    if SCP_LIKE.fullmatch(url):
        return "ssh"
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.password is not None or (parts.username and parts.scheme != "ssh"):
        raise SourceError(
            "The repository URL holds a user name or password.",
            hint="Give the token in its own field instead.",
        )
    is_local = parts.scheme == "file"
    names_host = bool(origin_of(url)) and not (parts.hostname or "").startswith("-")
    return parts.scheme if is_local or names_host else ""


def host_of(url: str) -> tuple[str, int | None]:
    """Host and port of a URL that `protocol_of` accepts; no port where the protocol's own is meant."""
    if found := SCP_LIKE.fullmatch(url):
        return found["host"], None
    parts = urlsplit(url)
    return parts.hostname or "", parts.port


class _Repository:
    """One fetch: git's commands in their order, and what they need to see."""

    def __init__(
        self,
        source: GitSource,
        into: Path,
        home: Path,
        deadline: Deadline,
        log: LineSink,
        relay: Relay | None,
    ) -> None:
        self.source, self.into, self.log, self.relay = source, into, log, relay
        self.room = Room(into, source.limits, deadline)
        self.deadline = self.room.deadline
        self.rewritten: list[tuple[str, str]] = []  # configuration that is added when it is needed
        self.env = self._environment(home)

    def check_out(self) -> tuple[str, str]:
        """Leaves the working tree alone in `into`. Returns (commit id, subject)."""
        self._start()
        commit = self._commit()
        with self.room.counting_files() as count:
            self._git("ls-tree", "-r", "--name-only", commit, on_line=count)
        self._git("checkout", "--quiet", "--force", "--detach", commit)
        if (self.into / ".gitmodules").is_file():
            self._fetch_submodules()
        self._fetch_lfs()
        revision, summary = self._data("log", "-1", "--format=%H%n%s")[:2]
        self._drop_history()
        return revision, summary

    def version(self, path: Path, revision: str) -> str:
        """What the remote's tags tell, where a build will ask for it; "" elsewhere."""
        if not git_versions.is_asked_for(path, self.into.resolve()):
            return ""
        tags = git_versions.Tags(revision, self.source.ref, self.source.subdirectory)
        self._git("ls-remote", "--tags", self.source.url, on_line=tags.take)
        self.log(f"The tags of the repository tell its version: {tags.version()}")
        return tags.version()

    def _fetch_lfs(self) -> None:
        schemes = ("https", "http") if "http" in self.source.protocols else ("https",)
        access = git_lfs_client.Access(
            self.source.url, schemes, self.source.token, self.source.private_hosts, self.source.settings
        )
        room = self.room.left()
        with self.room.watched():
            git_lfs.fill_in(
                self.into, access, ask=self._data, deadline=self.deadline, log=self.log, room=room
            )

    def _start(self) -> None:
        self.log(f"Fetching {self.source.url}" + (f" at {self.source.ref}" if self.source.ref else ""))
        self._git("init", "--quiet", "--template=")
        self._git("remote", "add", "origin", self.source.url)

    def _commit(self) -> str:
        """Fetches the ref; returns what to check out."""
        ref = self.source.ref or "HEAD"
        outcome = self._try("fetch", "--progress", "--no-tags", "--depth=1", "origin", ref)
        if not outcome.code:
            return "FETCH_HEAD"
        if not self.source.ref and git_errors.is_unknown_ref(outcome):
            raise self._without_default_branch()
        if not (COMMIT.fullmatch(ref) or ABBREVIATED.fullmatch(ref)):
            raise git_errors.translate(outcome, self.source.url, ref)
        return self._commit_from_history(ref, outcome)

    def _without_default_branch(self) -> SourceError:
        """A forge's HEAD may name a branch that was never pushed, or is gone."""
        listed = self._data("ls-remote", "--heads", "origin")
        branches = [line.partition("refs/heads/")[2] for line in listed if "refs/heads/" in line]
        return git_errors.no_default_branch(self.source.url, branches)

    def _commit_from_history(self, commit: str, refusal: tooling.Outcome) -> str:
        # Servers may refuse a commit that no branch or tag points at, and all refuse an abbreviated one.
        if not git_errors.is_unknown_ref(refusal):
            raise git_errors.translate(refusal, self.source.url, commit)
        self.log("The server does not give a single commit; fetching the history")
        self._git("fetch", "--progress", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
        outcome = self._try("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
        if outcome.code:
            raise git_errors.unknown_ref(self.source.url, commit)
        return outcome.lines[-1]

    def _fetch_submodules(self) -> None:
        self.log("Fetching submodules")
        update = ("submodule", "update", "--init", "--recursive", "--force")
        outcome = self._try(*update, "--depth=1")
        if outcome.code and (way := self._same_host_over_https()):
            self.log(f"Trying submodules of {way} as the repository itself is reached")
            outcome = self._try(*update, "--depth=1")
        if outcome.code and git_errors.is_unknown_ref(outcome):
            outcome = self._try(*update, "--no-recommend-shallow")
        if outcome.code:
            raise git_errors.translate(outcome, self.source.url, self.source.ref, of_submodule=True)

    def _same_host_over_https(self) -> str:
        """Lets submodules that are named by ssh, at the repository's own host, come as the repository came.

        A developer's .gitmodules names what a developer's key opens; the token here opens the same by https.
        Returns the host, "" where there is nothing to do.
        """
        host, _ = host_of(self.source.url)
        if protocol_of(self.source.url) not in ("https", "http") or self.rewritten:
            return ""
        parts = urlsplit(self.source.url)
        key = f"url.{parts.scheme}://{parts.netloc}/.insteadOf"
        self.rewritten = [(key, start) for start in (f"git@{host}:", f"ssh://git@{host}/")]
        self.env |= self._config()
        return host

    def _drop_history(self) -> None:
        shutil.rmtree(self.into / ".git")
        for file in self.into.rglob(".git"):  # a submodule's names the directory that is gone
            if file.is_file():
                file.unlink()

    def _git(self, *arguments: str, on_line: LineSink | None = None) -> None:
        outcome = self._try(*arguments, on_line=on_line)
        if outcome.code:
            raise git_errors.translate(outcome, self.source.url, self.source.ref)

    def _data(self, *arguments: str, cwd: Path | None = None) -> Sequence[str]:
        outcome = self._try(*arguments, cwd=cwd, on_line=tooling.no_log)
        if outcome.code:
            raise git_errors.translate(outcome, self.source.url, self.source.ref)
        return (*outcome.lines, "", "")

    def _try(
        self, *arguments: str, cwd: Path | None = None, on_line: LineSink | None = None
    ) -> tooling.Outcome:
        try:
            with self.room.watched():
                return tooling.run(
                    ("git", *arguments),
                    env=self.env,
                    deadline=self.deadline,
                    log=on_line or self._show,
                    cwd=cwd or self.into,
                    keep=max(tooling.KEPT_LINES, len(arguments)),
                )
        except FileNotFoundError:
            raise SourceError("git is not installed on this machine.", hint="Install git.") from None

    def _show(self, line: str) -> None:
        if SHOWN.search(line):
            self.log(line.strip())

    def _environment(self, home: Path) -> dict[str, str]:
        env = tooling.environment(self.source.settings, home)
        env |= {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TEMPLATE_DIR": "",  # of submodules, which git makes itself
            "GIT_CEILING_DIRECTORIES": str(self.into.parent),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": ":".join(self.source.protocols),
            "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=20 -oForwardAgent=no",
            "LC_ALL": "C",
        }
        if agent := os.environ.get("SSH_AUTH_SOCK"):
            env["SSH_AUTH_SOCK"] = agent
        if self.relay:
            env["GIT_SSH_COMMAND"] += f" -oProxyCommand={shlex.quote(_tunnel(self.relay))}"
            if not _is_proxied(self.source.url, env):
                env = {name: value for name, value in env.items() if not name.lower().endswith("_proxy")}
                env["ALL_PROXY"] = f"socks5h://127.0.0.1:{self.relay.port}"
        return env | self._config()

    def _config(self) -> dict[str, str]:
        """Configuration through the environment: nothing of it stays in the repository or shows in argv."""
        config, secrets = [*CONFIG.items(), *self.rewritten], {}
        if self.source.token and protocol_of(self.source.url) != "ssh":
            parts = urlsplit(self.source.url)
            config.append((f"credential.{parts.scheme}://{parts.netloc}.helper", HELPER))
            user, _, password = self.source.token.rpartition(":")
            secrets = {"MCPHOST_GIT_USER": user or "x-access-token", "MCPHOST_GIT_TOKEN": password}
        env = {"GIT_CONFIG_COUNT": str(len(config))}
        for number, (name, value) in enumerate(config):
            env |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        return env | secrets


def _tunnel(relay: Relay) -> str:
    """ssh's way through the relay; it replaces %h and %p."""
    words = [sys.executable, "-I", tunnel.__file__, str(relay.port)]
    return " ".join([shlex.quote(word).replace("%", "%%") for word in words] + ["%h", "%p"])


def _is_proxied(url: str, env: Mapping[str, str]) -> bool:
    """Whether an operator's proxy stands between us and `url`: it looks names up and has its own rules."""
    proxies = {
        name.lower().removesuffix("_proxy"): value
        for name, value in env.items()
        if name.lower().endswith("_proxy") and value
    }
    parts = urlsplit(url)
    by_proxy = bool(proxies.get(parts.scheme) or proxies.get("all"))
    return by_proxy and not proxy_bypass(parts.hostname or "", proxies)
