"""Sessions of the legacy era (≤ 2025-11-25). The id that a caller gets is a sealed note: whose the session
is, which deployment holds it, and what that calls it. So every gateway process serves every session, with no
state of its own and none to share."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import orjson

LONGEST = 4096
MOST = 10_000  # that are remembered, to be read once
CLIENT = 100  # characters of the client's name that travel along
_SEAL = 16  # bytes


@dataclass(frozen=True, slots=True)
class Session:
    """`inner` is the hosted server's own id; `client` and `version` are what `initialize` said, for the
    records of later calls. `replica` is which of several holds it. `run_id` is the run of the deployment that
    holds it; 0 in a note of an earlier version, when each run had a deployment of its own."""

    server_id: int
    deployment_id: int
    token_id: int
    inner: str
    client: str = ""
    version: str = ""
    replica: str = ""
    run_id: int = 0


def is_id(inner: bytes) -> bool:
    """Visible ASCII (transports of 2025-11-25, session management)."""
    return all(0x21 <= byte <= 0x7E for byte in inner)


class Sessions:
    """`key` is the same in all gateway processes; under another one every session is lost."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known = lru_cache(MOST)(self._unseal)

    def seal(self, session: Session) -> str:
        """Visible ASCII, as the specification wants it."""
        known = session.server_id, session.deployment_id, session.token_id, session.inner
        rest = session.client[:CLIENT], session.version, session.replica, session.run_id
        note = orjson.dumps([*known, *rest])
        return base64.urlsafe_b64encode(self._seal_of(note) + note).decode()

    def unseal(self, sealed: str) -> Session | None:
        """None for what no process of ours has sealed; what is longer than that is not even remembered."""
        return self._known(sealed) if len(sealed) <= LONGEST else None

    def _unseal(self, sealed: str) -> Session | None:
        try:
            whole = base64.b64decode(sealed.encode(), b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        seal, note = whole[:_SEAL], whole[_SEAL:]
        return Session(*orjson.loads(note)) if hmac.compare_digest(seal, self._seal_of(note)) else None

    def _seal_of(self, note: bytes) -> bytes:
        return blake2b(note, key=self._key, digest_size=_SEAL).digest()  # RFC 7693 section 2.9: a MAC
