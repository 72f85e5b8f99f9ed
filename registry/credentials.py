"""Credentials for registries: read again when the file changes, and renewed once for all concurrent
callers.
"""

from __future__ import annotations

import base64
import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

from registry.commands import Refresher, ask_helper
from registry.dockerconfig import HUB_KEY, DockerConfig
from registry.errors import BadCredentialsFile, CredentialError
from registry.reasons import Reason
from registry.reference import is_hub

HELPER_TIMEOUT = 20.0
HELPER_CACHE_SECONDS = 3600.0
SURELY_FRESH_SECONDS = 600.0  # the credentials of all clouds live longer


@dataclass(frozen=True)
class Credential:
    """A credential. With all fields empty it is anonymous.

    `source` says where it comes from, for people. `written_at` (Unix seconds) is the file's modification
    time, None if unknown. `generation` counts the refreshes of its host: of two equal credentials, one may be
    newer.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    source: str = field(default="anonymous", compare=False)
    written_at: float | None = field(default=None, compare=False)
    generation: int = field(default=0, compare=False)

    @property
    def anonymous(self) -> bool:
        """Tells whether nothing is sent."""
        return not (self.username or self.identity_token or self.registry_token)

    @property
    def from_helper(self) -> bool:
        """Tells whether a credential helper gave it: one of a file has `written_at`."""
        return not self.anonymous and self.written_at is None

    @property
    def basic(self) -> str:
        """The value of a Basic Authorization header (RFC 7617); "" without a user name."""
        if not self.username:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    @property
    def expires_at(self) -> float | None:
        """Unix seconds at which the first JWT among the secrets expires (`exp`, RFC 7519); None if there is
        none.
        """
        told = [_jwt_expiry(text) for text in (self.registry_token, self.identity_token, self.password)]
        return min((at for at in told if at is not None), default=None)

    @property
    def config_entry(self) -> dict[str, str]:
        """The entry in `auths` of a Docker config; {} for an anonymous credential."""
        fields = {
            "auth": self.basic.removeprefix("Basic "),
            "identitytoken": self.identity_token,
            "registrytoken": self.registry_token,
        }
        return {name: value for name, value in fields.items() if value}

    def engine_auth(self, host: str) -> dict[str, str]:
        """Returns the AuthConfig of the Docker Engine API, which is sent as `X-Registry-Auth`."""
        fields = {
            "username": self.username,
            "password": self.password,
            "identitytoken": self.identity_token,
            "registrytoken": self.registry_token,
        }
        filled = {name: value for name, value in fields.items() if value}
        return {**filled, "serveraddress": HUB_KEY if is_hub(host) else host} if filled else {}


ANONYMOUS = Credential()
Verify = Callable[[Credential], None]


def _jwt_expiry(token: str) -> float | None:
    """Returns `exp` of a JWT without checking its signature; None for another text."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        ends = float(claims["exp"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return ends if math.isfinite(ends) else None


@dataclass(frozen=True)
class _Helped:
    fields: Mapping[str, str] | None = field(repr=False)
    asked_at: float


class _OneRun:
    """Runs a refresher once at a time per host, and not again for callers that waited meanwhile."""

    def __init__(self, refresher: Refresher) -> None:
        self._refresher = refresher
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._began: dict[str, float] = {}  # start of the last successful run

    def refresh(self, host: str) -> None:
        asked_at = time.monotonic()
        with self._lock:
            turn = self._turns.setdefault(host, threading.Lock())
        with turn:
            if self._began.get(host, -math.inf) > asked_at:
                return
            began = time.monotonic()
            self._refresher.refresh(host)
            self._began[host] = began


class CredentialStore:
    """Credentials by registry host and namespace. It is thread-safe.

    Make one per process, so that refreshes are shared: an entry of the file is renewed once for all that use
    it. Without a `config_path` every credential is anonymous. Without a `refresher`, a refresh only reads the
    file and asks the helper again.
    """

    def __init__(
        self,
        config_path: Path | None,
        refresher: Refresher | None = None,
        *,
        helper_timeout: float = HELPER_TIMEOUT,
    ) -> None:
        self._path = config_path
        self._refresher = refresher and _OneRun(refresher)
        self._helper_timeout = helper_timeout
        self._lock = threading.Lock()
        self._config: tuple[tuple[int, ...], DockerConfig] | None = None
        self._helped: dict[tuple[str, str], _Helped] = {}
        self._generations: dict[str, int] = {}
        self._renewed_at: dict[str, float] = {}
        self._refreshing: dict[str, Future[Credential]] = {}

    def for_host(self, host: str, repository: str = "") -> Credential:
        """Returns the credential for a `repository` at `host[:port]`, `ANONYMOUS` if there is none.

        Without a `repository`, the one of the host. Raises `CredentialError`.
        """
        generation = self._generation(self._place(host, repository))
        if self._path is None:
            return replace(ANONYMOUS, generation=generation)
        config, written_at = self._read(self._path)
        return replace(self._look_up(config, host, repository, written_at), generation=generation)

    def why_anonymous(self, host: str, repository: str = "") -> str:
        """Returns why there is no login although the file mentions the host; "" if it does not."""
        if self._path is None:
            return ""
        try:
            return self._read(self._path)[0].why_anonymous(host, repository)
        except CredentialError as fault:
            return fault.message

    def refresh_may_help(self, host: str, rejected: Credential, repository: str = "") -> bool:
        """Tells whether to refresh after a registry denied access without a reason.

        That is so if a refresh can bring another credential, and there was none within
        `SURELY_FRESH_SECONDS`.
        """
        place = self._place(host, repository)
        if self._generation(place) > rejected.generation:
            return True
        with self._lock:
            renewed_at = self._renewed_at.get(place, -math.inf)
        return self._is_renewable(host, repository) and time.monotonic() - renewed_at > SURELY_FRESH_SECONDS

    def refresh(self, host: str, rejected: Credential, verify: Verify, repository: str = "") -> Credential:
        """Returns a credential that is newer than `rejected` and that `verify` accepted.

        Concurrent callers share one refresh. `verify` asks the registry and raises `RegistryError` if it
        rejects the credential: an equal one may be good, if only a token made from it had expired. Every
        waiting caller gets the exception of the refresher, the lookup or `verify`.
        """
        place = self._place(host, repository)
        with self._lock:
            generation = self._generations.get(place, 0)
            renewed, running = generation > rejected.generation, self._refreshing.get(place)
            mine = running is None and not renewed
            running = self._refreshing.setdefault(place, Future()) if mine else running
        if renewed or running is None:
            return self._renewed_meanwhile(host, replace(rejected, generation=generation), verify, repository)
        if mine:
            self._run_refresh(host, repository, place, rejected, verify, running)
        return running.result()

    def _renewed_meanwhile(
        self, host: str, rejected: Credential, verify: Verify, repository: str
    ) -> Credential:
        """Returns the credential of a refresh since `rejected` was read, or refreshes again if it cannot be
        read.
        """
        try:
            return self.for_host(host, repository)
        except CredentialError:  # a helper whose session has ended gives no credential at all
            return self.refresh(host, rejected, verify, repository)

    def _run_refresh(
        self,
        host: str,
        repository: str,
        place: str,
        rejected: Credential,
        verify: Verify,
        future: Future[Credential],
    ) -> None:
        try:
            credential = replace(self._renew(host, repository), generation=rejected.generation + 1)
            with self._lock:
                self._renewed_at[place] = time.monotonic()
            verify(credential)
        except BaseException as fault:  # noqa: BLE001 raised again in each who waits
            self._settle(place)
            future.set_exception(fault)
        else:
            self._settle(place, credential.generation)
            future.set_result(credential)

    def _settle(self, place: str, generation: int | None = None) -> None:
        with self._lock:
            del self._refreshing[place]
            if generation is not None:
                self._generations[place] = generation

    def _renew(self, host: str, repository: str) -> Credential:
        if self._refresher is not None:
            self._refresher.refresh(host)
        with self._lock:
            self._config = None
            self._helped = {key: value for key, value in self._helped.items() if key[1] != host}
        credential = self.for_host(host, repository)
        if credential.anonymous:
            why = self.why_anonymous(host, repository)
            raise CredentialError(
                f"No credentials for {host} are configured{why and f': {why}'}.", Reason.NO_CREDENTIALS
            )
        return credential

    def _generation(self, place: str) -> int:
        with self._lock:
            return self._generations.get(place, 0)

    def _place(self, host: str, repository: str) -> str:
        """Returns the key of the file that is used, to share refreshes; the host while the file cannot be
        read.
        """
        if self._path is None:
            return host
        try:
            return self._read(self._path)[0].place_for(host, repository)
        except CredentialError:
            return host

    def _is_renewable(self, host: str, repository: str) -> bool:
        if self._refresher is not None or self._path is None:
            return self._refresher is not None
        try:
            return bool(self._read(self._path)[0].helper_for(host, repository))
        except CredentialError:
            return False

    def _read(self, path: Path) -> tuple[DockerConfig, float]:
        """Returns the config and its modification time; parses the file again after it has changed."""
        try:
            stat = path.stat()
        except OSError as fault:
            raise BadCredentialsFile(f"{path} cannot be read: {fault.strerror}.") from None
        version = (stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_dev)
        with self._lock:
            if self._config is None or self._config[0] != version:
                self._config = (version, DockerConfig.read(path))
                self._helped.clear()
            return self._config[1], stat.st_mtime

    def _look_up(self, config: DockerConfig, host: str, repository: str, written_at: float) -> Credential:
        helper = config.helper_for(host, repository)
        if helper:
            fields = self._ask(helper, host)
            if fields is not None:
                return _credential(fields, source=f"docker-credential-{helper}")
        entry = config.entry_for(host, repository)
        if entry is None:
            return ANONYMOUS
        return _credential(entry, source=config.path.name, written_at=written_at)

    def _ask(self, helper: str, host: str) -> Mapping[str, str] | None:
        key = (helper, host)
        with self._lock:
            known = self._helped.get(key)
        if known is not None and time.monotonic() - known.asked_at < HELPER_CACHE_SECONDS:
            return known.fields
        # Without the lock: a slow helper of one registry must not block the others.
        fields = ask_helper(helper, host, self._helper_timeout)
        with self._lock:
            self._helped[key] = _Helped(fields, time.monotonic())
        return fields


class FixedCredential(CredentialStore):
    """The same credential for every host, for the client of one registry with a login that a user gave.

    It is never renewed, and the platform's logins are not read.
    """

    def __init__(self, credential: Credential) -> None:
        super().__init__(None)
        self._credential = credential

    def for_host(self, host: str, repository: str = "") -> Credential:
        return replace(self._credential, generation=super().for_host(host, repository).generation)


def _credential(fields: Mapping[str, str], *, source: str, written_at: float | None = None) -> Credential:
    return Credential(
        username=fields.get("username", ""),
        password=fields.get("password", ""),
        identity_token=fields.get("identitytoken", ""),
        registry_token=fields.get("registrytoken", ""),
        source=source,
        written_at=written_at,
    )
