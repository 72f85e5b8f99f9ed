"""One HTTP exchange with a registry: bodies are capped, a redirect carries no credential to another host."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.util.ssl_ import create_urllib3_context

from registry.errors import RegistryError, unreachable
from registry.reference import is_loopback
from registry.tokens import Answer

MAX_REDIRECTS = 5
POOL = 32  # connections kept to one host: as many pushes may be confirmed at the same time
MAX_BODY = 4 << 20  # the distribution spec's limit for manifests
MAX_ERROR_BODY = 64 << 10
USER_AGENT = "mcphost-registry"
_NO_PROXY: dict[str, Any] = {"http": None, "https": None, "all": None}
_REDIRECTS = {301, 302, 303, 307, 308}


class _Authorization(AuthBase):
    """Sets the header itself: left to `requests`, ~/.netrc would be read and would win."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value:
            request.headers["Authorization"] = self._value
        else:
            request.headers.pop("Authorization", None)
        return request


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: asked not to follow, `requests` would still read the whole body and parse the address."""
        return None


class _Adapter(HTTPAdapter):
    """Trusts `ca_bundle` besides what `requests` trusts: a token server may have a public certificate."""

    def __init__(self, ca_bundle: Path | None) -> None:
        self._context = create_urllib3_context()
        if ca_bundle:
            _trust(self._context, ca_bundle)
        super().__init__(pool_maxsize=POOL)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return super().proxy_manager_for(*args, ssl_context=self._context, **kwargs)


def _trust(context: ssl.SSLContext, ca_bundle: Path) -> None:
    try:
        context.load_verify_locations(cafile=ca_bundle)
    except OSError as fault:  # ssl's own among them
        raise RegistryError(f"The authorities in {ca_bundle} cannot be read: is it a PEM file?") from fault


class Transport:
    """Sends requests. Thread-safe: each is independent, the connections are pooled."""

    def __init__(self, *, ca_bundle: Path | None, timeout: float) -> None:
        self._session = _Session()
        self._session.headers["User-Agent"] = USER_AGENT
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(ca_bundle))
        self._timeout = timeout

    def close(self) -> None:
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
        follow: bool = False,
        cap: int = MAX_BODY,
    ) -> Answer:
        """The answer, whatever its status. Raises `RegistryError` of kind `push` if there is none."""
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send_once(method, url, doing, authorization, headers, params, body)
            with response:
                target = response.headers.get("Location", "") if response.status_code in _REDIRECTS else ""
                if not (follow and target):
                    return self._read(response, doing, cap)
            url, authorization, params = _redirected(url, target, authorization, doing)
        raise RegistryError(f"{doing}: more than {MAX_REDIRECTS} redirects.")

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
        except (requests.RequestException, OSError) as fault:
            raise unreachable(doing, fault) from fault

    def _read(self, response: requests.Response, doing: str, cap: int) -> Answer:
        failed = response.status_code >= 400
        body = _read_capped(response, doing, MAX_ERROR_BODY if failed else cap, cut=failed)
        return Answer(response.status_code, response.headers, body, _json(response, body))


def _read_capped(response: requests.Response, doing: str, cap: int, *, cut: bool) -> bytes:
    body = bytearray()
    try:
        for chunk in response.iter_content(65_536):
            body += chunk
            if len(body) > cap:
                break
    except (requests.RequestException, OSError) as fault:
        raise unreachable(doing, fault) from fault
    if len(body) > cap and not cut:
        raise RegistryError(f"{doing}: the answer is larger than {cap} bytes.")
    return bytes(body[:cap])


def _json(response: requests.Response, body: bytes) -> Any:
    if "json" not in response.headers.get("Content-Type", ""):
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _redirected(url: str, target: str, authorization: str, doing: str) -> tuple[str, str, None]:
    try:
        goal = urljoin(url, target)
        before, after = urlsplit(url), urlsplit(goal)
    except ValueError:
        raise RegistryError(f"{doing}: refused a redirect to no usable address.") from None
    if after.scheme not in {"http", "https"} or (before.scheme == "https" and after.scheme == "http"):
        raise RegistryError(f"{doing}: refused a redirect to {after.scheme}://{after.hostname}.")
    same = (before.scheme, before.netloc) == (after.scheme, after.netloc)
    return goal, authorization if same else "", None
