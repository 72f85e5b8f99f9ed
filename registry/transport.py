"""One HTTP exchange with a registry.

The body and the time are bounded. A redirect to another host gets no credential. For a registry that no
operator named, every address is checked (see `outbound`).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError
from urllib3.util.ssl_ import create_urllib3_context

import outbound
from outbound.adapter import Adapter, Session
from outbound.origin import origin_of
from registry.errors import RegistryError, inner_address, unreachable
from registry.reasons import Reason
from registry.reference import is_loopback
from registry.tokens import Answer

MAX_REDIRECTS = 5
POOL = 32  # connections kept to one host, so that as many pushes can be confirmed at the same time
MAX_BODY = 4 << 20  # the distribution spec's limit for manifests
MAX_ERROR_BODY = 64 << 10
PATIENCE = 2  # an exchange with all its redirects may take this many times the longest silence
USER_AGENT = "mcphost-registry"
NOT_TOLD = "which is not told who we are"
_NO_PROXY: dict[str, Any] = {"http": None, "https": None, "all": None}
_REDIRECTS = {301, 302, 307, 308}
_SEE_OTHER = 303  # followed only by reads: its target is not a place to write to
_READS = ("GET", "HEAD")


class _Authorization(AuthBase):
    """Sets the header itself. Otherwise `requests` would read ~/.netrc and override the header."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value:
            request.headers["Authorization"] = self._value
        else:
            request.headers.pop("Authorization", None)
        return request


def _context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Returns a TLS context that trusts `ca_bundle` as well: a token server may have a public certificate."""
    context = create_urllib3_context()
    if ca_bundle:
        _trust(context, ca_bundle)
    return context


def _trust(context: ssl.SSLContext, ca_bundle: Path) -> None:
    try:
        context.load_verify_locations(cafile=ca_bundle)
    except OSError as fault:  # also errors of ssl
        raise RegistryError(f"The authorities in {ca_bundle} cannot be read: is it a PEM file?") from fault


class Transport:
    """Sends requests. It is thread-safe: requests are independent, and connections are pooled.

    `timeout` is the longest silence in seconds. `allow_private` allows addresses of this machine and its
    networks.
    """

    def __init__(self, *, ca_bundle: Path | None, timeout: float, allow_private: bool) -> None:
        self._session = Session()
        # A small compressed body can have any size, and digests are of uncompressed bytes.
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._session.mount(
                scheme, Adapter(_context(ca_bundle), allow_private=allow_private, pool_maxsize=POOL)
            )
        self._timeout = timeout

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def send(
        self,
        method: str,
        url: str,
        *,
        doing: str,
        authorization: str = "",
        headers: Mapping[str, str] | None = None,
        params: list[tuple[str, str]] | None = None,
        body: bytes | list[tuple[str, str]] | None = None,
        same_origin_only: bool = False,
        cap: int = MAX_BODY,
    ) -> Answer:
        """Returns the response, whatever its status. Raises `RegistryError` of kind `push` if there is none.

        `doing` describes the request in errors. `cap` bounds the body in bytes. Redirects are followed with
        the same method and body (RFC 9110, 15.4); after one to another origin the authorization is left out.
        With `same_origin_only` such a redirect is an error: the body holds a secret, or an anonymous answer
        is of no use.
        """
        with _ended(self._timeout * PATIENCE, doing):
            for _ in range(MAX_REDIRECTS + 1):
                response = self._send_once(method, url, doing, authorization, headers, params, body)
                with response:
                    target = _target(response, method)
                    if not target:
                        return self._read(response, doing, cap, url)
                goal = _goal(url, target, doing)
                if origin_of(goal) != origin_of(url):
                    if same_origin_only:
                        raise RegistryError(
                            f"{doing}: a redirect leads to {origin_of(goal)}, {NOT_TOLD}.",
                            reason=Reason.REDIRECTED,
                        )
                    authorization = ""
                url, params = goal, None
        raise RegistryError(f"{doing}: more than {MAX_REDIRECTS} redirects.", reason=Reason.REDIRECTED)

    def _send_once(
        self,
        method: str,
        url: str,
        doing: str,
        authorization: str,
        headers: Mapping[str, str] | None,
        params: list[tuple[str, str]] | None,
        body: bytes | list[tuple[str, str]] | None,
    ) -> requests.Response:
        try:
            return self._session.request(
                method,
                url,
                params=params,
                data=body,
                headers=dict(headers or {}),
                auth=_Authorization(authorization),
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
                proxies=dict(_NO_PROXY) if is_loopback(urlsplit(url).netloc) else None,
            )
        except outbound.PrivateAddress as refusal:
            raise inner_address(doing, str(refusal)) from None
        except outbound.UnknownName as fault:
            raise unreachable(doing, f"the name {fault} is not known") from None
        except (requests.RequestException, HTTPError, OSError, ValueError) as fault:
            raise unreachable(doing, fault) from fault

    def _read(self, response: requests.Response, doing: str, cap: int, url: str) -> Answer:
        failed = response.status_code >= 400
        body = _read_capped(response, doing, MAX_ERROR_BODY if failed else cap, cut=failed)
        return Answer(response.status_code, response.headers, body, url)


@contextmanager
def _ended(seconds: float, doing: str) -> Iterator[None]:
    """Ends an exchange after a time, even if the registry keeps sending single bytes."""
    slow = RegistryError(
        f"{doing}: no whole answer within {seconds:g} s.",
        kind="push",
        reason=Reason.UNREACHABLE,
        permanent=False,
    )
    with outbound.Deadline(seconds) as deadline:
        try:
            yield
        except RegistryError as fault:
            if deadline.over:
                raise slow from fault
            raise
        if deadline.over:
            raise slow


def _read_capped(response: requests.Response, doing: str, cap: int, *, cut: bool) -> bytes:
    """Returns the body. For an error response (`cut`) it is cut at `cap`, and empty if it is compressed."""
    packed = response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")
    if packed and cut:
        return b""
    if packed:
        raise RegistryError(f"{doing}: the answer is compressed, which was not asked for.")
    body = bytearray()
    try:
        while len(body) <= cap and (chunk := response.raw.read1(65_536, decode_content=False)):
            body += chunk
    except (requests.RequestException, HTTPError, OSError, ValueError) as fault:
        raise unreachable(doing, fault) from fault
    if len(body) > cap and not cut:
        raise RegistryError(f"{doing}: the answer is larger than {cap} bytes.")
    return bytes(body[:cap])


def _target(response: requests.Response, method: str) -> str:
    """Returns the target of a redirect; "" if the response is none, or none that this method follows."""
    follows = response.status_code in _REDIRECTS or (response.status_code == _SEE_OTHER and method in _READS)
    return response.headers.get("Location", "") if follows else ""


def _goal(url: str, target: str, doing: str) -> str:
    try:
        goal = urljoin(url, target)
        before, after = urlsplit(url), urlsplit(goal)
    except ValueError:
        raise RegistryError(
            f"{doing}: refused a redirect to no usable address.", reason=Reason.REDIRECTED
        ) from None
    if after.scheme not in {"http", "https"} or (before.scheme == "https" and after.scheme == "http"):
        raise RegistryError(
            f"{doing}: refused a redirect to {after.scheme}://{after.hostname}.", reason=Reason.REDIRECTED
        )
    if not origin_of(goal) or after.username is not None:
        raise RegistryError(f"{doing}: refused a redirect to no usable address.", reason=Reason.REDIRECTED)
    return goal
