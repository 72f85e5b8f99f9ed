"""HTTP to the identity provider, under the same guard as all addresses that somebody typed in.

What it answers well is a JSON object: metadata, keys, tokens and user info alike.

requests alone would wait anew with each byte, take bodies of any size and follow redirects, with a client's
secret in hand. None of a provider's endpoints has a reason to redirect.
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
LARGEST = 1 << 20  # bytes of a body, as they are once uncompressed


class Guarded(requests.adapters.BaseAdapter):
    """Inner addresses are allowed: the operator named the provider, and it may stand in the same network."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Raises `requests.RequestException`."""
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
        """Nothing is kept open between two requests."""


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
    made = requests.Session()
    made.max_redirects = 0
    made.trust_env = False  # the way through a proxy is outbound's to find
    for scheme in ("https://", "http://"):
        made.mount(scheme, Guarded())
    return made
