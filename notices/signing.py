"""Signs and checks messages by Standard Webhooks 1.0.0. Pure.

The signature is HMAC-SHA256 of `{id}.{timestamp}.{body}`; the header holds `v1,<base64>`. While a secret is
rotated, it holds several, separated by spaces.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
PREFIX = "whsec_"
TOLERANCE_SECONDS = 300


def new_secret() -> str:
    """Returns a new random secret: `whsec_` and 32 bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """Returns the key of a `whsec_` secret; for any other text, the text itself."""
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        return secret.encode()


def signature(key: bytes, message_id: str, timestamp: int | str, body: bytes) -> str:
    """Returns one entry of the signature header: `v1,<base64>`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(message_id: str, timestamp: int, body: bytes, of_secrets: Iterable[str]) -> dict[str, str]:
    """Returns the headers that a sender adds, with one signature for each secret."""
    signed = " ".join(signature(key_of(secret), message_id, timestamp, body) for secret in of_secrets)
    return {ID: message_id, TIMESTAMP: str(timestamp), SIGNATURE: signed}


def is_signed(given: Mapping[str, str], body: bytes, keys: Iterable[bytes]) -> bool:
    """Tells whether one of the signatures was made with one of `keys`. Does not check the time."""
    message_id, timestamp = given.get(ID, ""), given.get(TIMESTAMP, "")
    if not message_id or not timestamp:
        return False
    offered = [one.encode() for one in given.get(SIGNATURE, "").split()]
    wanted = [signature(key, message_id, timestamp, body).encode() for key in keys]
    matches = [hmac.compare_digest(one, other) for one in offered for other in wanted]
    return any(matches)


def is_fresh(given: Mapping[str, str], now: float) -> bool:
    """Tells whether the timestamp is within TOLERANCE_SECONDS of `now`."""
    timestamp = given.get(TIMESTAMP, "")
    return timestamp.isdecimal() and len(timestamp) < 16 and abs(now - int(timestamp)) <= TOLERANCE_SECONDS
