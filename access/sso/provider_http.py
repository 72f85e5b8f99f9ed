"""HTTP to the identity provider, with the same limits as for all URLs that somebody typed in.

Successful answers are JSON objects: metadata, keys, tokens and user info. By itself, requests would restart
its timeout with each byte, read bodies of any size, and follow redirects with the client's secret. No
endpoint of a provider has to redirect.
"""

from __future__ import annotations

import io
import json
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

import outbound

SECONDS = 10.0
LARGEST = 1 << 20  # bytes of a body after decompression


class Guarded(requests.adapters.BaseAdapter):
    """Sends through `outbound`. Private addresses are allowed, because the operator names the provider."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Sends one request. Raises `requests.RequestException`."""
        parts = urlsplit(str(request.url))
        headers = {str(name): str(value) for name, value in request.headers.items() if value is not None}
        body = request.body.encode() if isinstance(request.body, str) else request.body
        try:
            with outbound.request(
                str(request.method), parts, allow_private=True, seconds=SECONDS, headers=headers, body=body
            ) as answer:  # fmt: skip
                return _read(request, answer)
        except (outbound.UnknownName, outbound.PrivateAddress, outbound.TooSlow) as error:
            raise requests.ConnectionError(f"{parts.hostname}: {_WORDS[type(error)]}") from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise requests.ConnectionError(f"{parts.hostname}: {error}") from error

    def close(self) -> None:
        """Does nothing: no connection stays open between two requests."""


_WORDS: dict[type[Exception], str] = {
    outbound.UnknownName: "the name is not known",
    outbound.PrivateAddress: "nobody may be asked at that address",
    outbound.TooSlow: f"no whole answer within {SECONDS:.0f} s",
}


def _read(request: requests.PreparedRequest, answer: Any) -> requests.Response:
    content = answer.read(LARGEST + 1, decode_content=True)
    if len(content) > LARGEST:
        raise ValueError(f"more than {LARGEST} bytes were answered")
    made = requests.Response()
    made.status_code, made.url, made.request = answer.status, str(request.url), request
    made.headers = requests.structures.CaseInsensitiveDict({"Content-Type": "", **answer.headers})
    made.encoding, made.raw = "utf-8", io.BytesIO(content)
    if made.ok:
        _check_object(content)
    return made


def _check_object(content: bytes) -> None:
    try:
        found = json.loads(content)
    except RecursionError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("what was answered is not a JSON object")


def session() -> requests.Session:
    """Returns a session whose requests all go through `Guarded`, without redirects."""
    made = requests.Session()
    made.max_redirects = 0
    made.trust_env = False  # `outbound` finds the proxy
    for scheme in ("https://", "http://"):
        made.mount(scheme, Guarded())
    return made
