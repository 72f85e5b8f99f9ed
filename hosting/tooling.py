"""Runs external programs (git, uv, npm, docker) in an environment that holds no secret of the platform."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hosting import process_group
from hosting.build_settings import BuildSettings
from hosting.deadline import Deadline
from hosting.process_group import LineSink
from redaction.rules import without_secrets
from registry.reasons import Reason, says

# The variables of the platform's environment that a program gets: for paths and for the network.
ALLOWED = {
    "PATH",
    "LANG",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
}
ALLOWED_PREFIXES = ("PIP_", "UV_", "NPM_CONFIG_")
DENIED_PREFIXES = ("UV_PUBLISH_",)
KEPT_LINES = 40
QUIET = {
    "LC_ALL": "C.UTF-8",
    "npm_config_update_notifier": "false",
    "npm_config_fund": "false",
    "npm_config_audit": "false",
    "npm_config_progress": "false",
    "UV_NO_PROGRESS": "1",
}


@dataclass(frozen=True)
class Outcome:
    """How a program ended: its exit code, and the last lines of its output without secrets."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def out_of_space(self) -> bool:
        return says(Reason.FULL, self.text)


def environment(settings: BuildSettings, home: Path) -> dict[str, str]:
    """The environment for a program: allowed variables of the platform, `home` as HOME, and the variables
    that the build settings ask for (indexes, proxies, CA bundle, caches).
    """
    kept = {name: value for name, value in os.environ.items() if _allowed(name.upper())}
    if "PATH" in kept:
        kept["PATH"] = _absolute(kept["PATH"])
    return kept | QUIET | {"HOME": str(home)} | _from_settings(settings)


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    deadline: Deadline,
    log: LineSink,
    cwd: Path | None = None,
    keep: int = KEPT_LINES,
) -> Outcome:
    """Runs `argv` and passes each line of its output to `log`, without secrets. The last `keep` lines are in
    the outcome. Raises what `process_group.run` raises.
    """
    kept: deque[str] = deque(maxlen=keep)

    def on_line(line: str) -> None:
        clean = without_secrets(line)
        kept.append(clean)
        log(clean)

    code = process_group.run(argv, deadline=deadline, on_line=on_line, cwd=cwd, env=env)
    return Outcome(code, tuple(kept))


def no_log(_line: str) -> None:
    """A `log` for commands whose output is data and belongs in no log."""


def _absolute(path: str) -> str:
    """PATH without relative and empty entries: programs run in directories with files of users, which could
    hold a program of the same name.
    """
    return os.pathsep.join(each for each in path.split(os.pathsep) if os.path.isabs(each))


def _allowed(name: str) -> bool:
    return not name.startswith(DENIED_PREFIXES) and (name in ALLOWED or name.startswith(ALLOWED_PREFIXES))


def _from_settings(settings: BuildSettings) -> dict[str, str]:
    found = _proxies(settings)
    if settings.pip_index_url:
        found |= {"UV_DEFAULT_INDEX": settings.pip_index_url, "PIP_INDEX_URL": settings.pip_index_url}
    if settings.npm_registry:
        found["npm_config_registry"] = settings.npm_registry
    if settings.ca_bundle:
        found |= _trusting(str(settings.ca_bundle))
    if settings.cache:
        found |= {
            "UV_CACHE_DIR": str(settings.cache / "uv"),
            "npm_config_cache": str(settings.cache / "npm"),
        }
    return found


def _proxies(settings: BuildSettings) -> dict[str, str]:
    # curl, and git with it, reads http_proxy in lower case only.
    return {
        spelled: value
        for name, value in settings.proxies.items()
        if value
        for spelled in (name.upper(), name.lower())
    }


def _trusting(bundle: str) -> dict[str, str]:
    names = (
        "SSL_CERT_FILE",
        "PIP_CERT",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "NODE_EXTRA_CA_CERTS",
        "npm_config_cafile",
    )
    return dict.fromkeys(names, bundle)
