"""Sends one notice to a URL that a user typed in, and reads only the start of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import urllib3

import outbound

SECONDS = 15.0
MOST_READ = 2_000


@dataclass(frozen=True)
class Answer:
    """The status, the first MOST_READ bytes and the Retry-After of an answer."""

    status: int
    text: str
    retry_after: str = ""


class Unreachable(Exception):
    """There was no answer. The message can be shown to users and does not hold the URL."""


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allow_private: bool,
    seconds: float = SECONDS,
    method: str = "POST",
) -> Answer:
    """Sends the body and returns the answer. `seconds` limit the whole exchange. Raises `Unreachable`.

    `allow_private` allows addresses of this machine and of private networks.
    """
    parts = urlsplit(url)
    try:
        with outbound.request(
            method, parts, allow_private=allow_private, seconds=seconds, headers=headers, body=body
        ) as response:
            text = response.read1(MOST_READ).decode("utf-8", "replace")
            return Answer(response.status, text, response.headers.get("Retry-After", ""))
    except outbound.UnknownName:
        raise Unreachable(f"The name {parts.hostname} is not known.") from None
    except outbound.PrivateAddress:
        raise Unreachable(
            f"{parts.hostname} leads to an inner address, where this channel may not send."
        ) from None
    except (outbound.TooSlow, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise Unreachable(_words(error)) from None


def _words(error: Exception) -> str:
    if isinstance(error, urllib3.exceptions.NewConnectionError | ConnectionRefusedError):
        return "Nothing accepts connections there."
    if isinstance(error, outbound.TooSlow | urllib3.exceptions.TimeoutError | TimeoutError):
        return "It did not answer in time."
    if isinstance(error, urllib3.exceptions.SSLError):
        return "Its certificate is not trusted, or is of another name."
    return "The connection broke."
