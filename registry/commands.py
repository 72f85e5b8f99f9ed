"""Runs the programs that provide credentials, with a time limit. Their output is never logged."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from registry.dockerconfig import HUB_KEY
from registry.errors import BadCredentialsFile, CredentialError
from registry.reasons import Reason
from registry.reference import is_hub

MAX_OUTPUT = 1 << 20
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_IDENTITY_USER = "<token>"


class Refresher(Protocol):
    """Renews the registry's credentials, for example by writing the Docker config again."""

    def refresh(self, host: str) -> None:
        """Raises `CredentialError` if it fails.

        Callers hold no lock, and make one call at a time per host.
        """
        ...


@dataclass(frozen=True)
class CommandRefresher:
    """Runs `argv` with `REGISTRY_HOST` in its environment; exit code 0 means success.

    `timeout` is in seconds.
    """

    argv: Sequence[str]
    timeout: float = 60.0

    def refresh(self, host: str) -> None:
        """Runs the command. Raises `CredentialError`."""
        what = f"The refresh command {self.argv[0]}"
        extra = {"REGISTRY_HOST": host}
        code, _ = _run(self.argv, b"", self.timeout, what, Reason.BROKEN_REFRESH, extra)
        if code:
            raise CredentialError(f"{what} failed with exit code {code}.", Reason.BROKEN_REFRESH)


def ask_helper(name: str, host: str, timeout: float) -> Mapping[str, str] | None:
    """Runs `docker-credential-<name> get`; returns the fields of a credential, None if the helper has none.

    The protocol is at https://github.com/docker/docker-credential-helpers. Raises `CredentialError`.
    """
    if not _HELPER_NAME.fullmatch(name):
        raise BadCredentialsFile(
            "The Docker config names a credential helper with characters that none may have."
        )
    what = f"The credential helper docker-credential-{name}"
    server = HUB_KEY if is_hub(host) else host
    asked = [f"docker-credential-{name}", "get"]
    code, output = _run(asked, server.encode(), timeout, what, Reason.BROKEN_HELPER)
    if code and b"credentials not found" in output:
        return None
    if code:
        raise CredentialError(f"{what} failed with exit code {code} for {host}.", Reason.BROKEN_HELPER)
    return _read_answer(output, what)


def _read_answer(output: bytes, what: str) -> Mapping[str, str]:
    try:
        answer: Any = json.loads(output)
        username, secret = answer["Username"], answer["Secret"]
    except (ValueError, TypeError, KeyError, RecursionError):
        username = secret = None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise CredentialError(f"{what} answered something that is not a credential.", Reason.BROKEN_HELPER)
    if username == _IDENTITY_USER:
        return {"identitytoken": secret}
    return {"username": username, "password": secret}


def _run(
    argv: Sequence[str],
    given: bytes,
    timeout: float,
    what: str,
    failure: Reason,
    extra: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    program = shutil.which(argv[0])
    if program is None:
        raise CredentialError(f"{what} is not on PATH.", failure)
    try:
        process = subprocess.Popen(
            [program, *argv[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **(extra or {})},
            start_new_session=True,
        )
    except OSError as fault:  # for example a script without #!
        raise CredentialError(f"{what} could not be run: {fault.strerror}.", failure) from fault
    try:
        output, _ = process.communicate(given, timeout)
    except subprocess.TimeoutExpired:
        raise CredentialError(f"{what} did not answer within {timeout:g} s.", failure) from None
    finally:
        _end(process)
    return process.returncode, output[:MAX_OUTPUT]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills the process group of a program that is still running."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
