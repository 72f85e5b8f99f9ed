"""Fetches a git repository at a branch, tag or commit: shallow, with its submodules, without its history."""

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
from hosting.sources.git_quota import CheckoutLimits, DiskQuota
from hosting.sources.origin import SCP_LIKE, origin_of
from outbound import PrivateAddress, addresses, tunnel
from outbound.relay import Relay

COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.IGNORECASE)
ABBREVIATED = re.compile(r"[0-9a-f]{7,39}", re.IGNORECASE)
# What `git check-ref-format` forbids, and what would read as an option or as a refspec of its own.
BAD_REF = re.compile(r"^[-+]|\.\.|@\{|[\x00-\x20\x7f~^:?*\[\\]|\.lock$|/$|^/")
SHOWN = re.compile(r"(Receiving objects|Resolving deltas): 100%|^Submodule path|^Skipping submodule")

# A credential helper as a shell function. git runs it only when a server of that origin asks for a login. The
# token is passed only in the environment of git and of the helper.
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
    """A repository. `ref` is a branch, tag or commit; "" means the remote's default branch.

    `token` is a password, or `user:password`. git may use only `protocols`, for submodules too.
    `private_hosts` (`host[:port]`) are the hosts on this machine and in private networks that may be asked;
    this also holds for redirects and submodules. None allows every host.
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
        """Checks the repository out into `into`; the revision of the result is the full commit id.

        git's home directory is made beside `into`, so that it is removed together with `into` after the
        platform was killed. Raises `SourceError`, `Cancelled`, `TimedOut`.
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
        """Raises `SourceError` for a URL, ref, token or subdirectory that must not be passed to git."""
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
        """Raises `SourceError` if the URL contains an inner address itself.

        The relay checks host names later.
        """
        host, port = host_of(self.url)
        if self.private_hosts is None or addresses.is_listed(host, port, self.private_hosts):
            return
        try:
            addresses.check_literal(host, allow_private=False)
        except PrivateAddress:
            raise git_errors.inner(host) from None

    @contextmanager
    def _guard(self) -> Iterator[Relay | None]:
        """Yields the relay that git connects through, None for none.

        Raises `SourceError` that names the host where the relay refused a connection.
        """
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
    """Returns the protocol that git would use for `url`; "" for a URL that is always refused.

    Raises `SourceError` if the URL holds a password: it would appear in logs and, unencrypted, in the
    database.
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
    """Returns host and port of a URL that `protocol_of` accepts; the port is None if the URL names none."""
    if found := SCP_LIKE.fullmatch(url):
        return found["host"], None
    parts = urlsplit(url)
    return parts.hostname or "", parts.port


class _Repository:
    """One fetch: runs git's commands in their order."""

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
        self.quota = DiskQuota(into, source.limits, deadline)
        self.deadline = self.quota.deadline
        self.rewritten: list[tuple[str, str]] = []  # (key, value) of configuration that is added later
        self.env = self._environment(home)

    def check_out(self) -> tuple[str, str]:
        """Leaves only the working tree in `into`. Returns (commit id, subject)."""
        self._start()
        commit = self._commit()
        with self.quota.counting_files() as count:
            self._git("ls-tree", "-r", "--name-only", commit, on_line=count)
        self._git("checkout", "--quiet", "--force", "--detach", commit)
        if (self.into / ".gitmodules").is_file():
            self._fetch_submodules()
        self._fetch_lfs()
        revision, summary = self._data("log", "-1", "--format=%H%n%s")[:2]
        self._drop_history()
        return revision, summary

    def version(self, path: Path, revision: str) -> str:
        """Returns the version that the remote's tags tell if a build will ask git for it, else ""."""
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
        bytes_left = self.quota.bytes_left()
        with self.quota.watched():
            git_lfs.replace_pointers(
                self.into, access, ask=self._data, deadline=self.deadline, log=self.log, bytes_left=bytes_left
            )

    def _start(self) -> None:
        self.log(f"Fetching {self.source.url}" + (f" at {self.source.ref}" if self.source.ref else ""))
        self._git("init", "--quiet", "--template=")
        self._git("remote", "add", "origin", self.source.url)

    def _commit(self) -> str:
        """Fetches the ref and returns the name of the commit to check out."""
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
        """Returns the error for a remote whose HEAD names a branch that was never pushed, or was deleted."""
        listed = self._data("ls-remote", "--heads", "origin")
        branches = [line.partition("refs/heads/")[2] for line in listed if "refs/heads/" in line]
        return git_errors.no_default_branch(self.source.url, branches)

    def _commit_from_history(self, commit: str, refusal: tooling.Outcome) -> str:
        # Servers may refuse a commit that no branch or tag points at, and all refuse an abbreviated id.
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
        """Makes git fetch submodules that are named by ssh at the repository's own host over https.

        A .gitmodules file often names URLs that only a developer's ssh key opens. The token opens the same
        repositories over https. Returns the host, or "" where this does not apply.
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
        for file in self.into.rglob(
            ".git"
        ):  # in a submodule it is a file that points to the removed directory
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
            with self.quota.watched():
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
            "GIT_TEMPLATE_DIR": "",  # git creates the repositories of submodules itself
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
        """Passes configuration in the environment: it is neither stored in the repository nor visible in
        argv.
        """
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
    """Returns ssh's ProxyCommand, which connects through the relay; ssh replaces %h and %p in it."""
    words = [sys.executable, "-I", tunnel.__file__, str(relay.port)]
    return " ".join([shlex.quote(word).replace("%", "%%") for word in words] + ["%h", "%p"])


def _is_proxied(url: str, env: Mapping[str, str]) -> bool:
    """Tells whether git reaches `url` through the operator's proxy, which looks names up and has its own
    rules.
    """
    proxies = {
        name.lower().removesuffix("_proxy"): value
        for name, value in env.items()
        if name.lower().endswith("_proxy") and value
    }
    parts = urlsplit(url)
    by_proxy = bool(proxies.get(parts.scheme) or proxies.get("all"))
    return by_proxy and not proxy_bypass(parts.hostname or "", proxies)
