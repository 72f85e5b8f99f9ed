"""Sessions of the legacy era (up to 2025-11-25).

The session id for a caller is a sealed note: it holds the caller, the deployment and the server's own id. So
every gateway process can serve every session, without shared state.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import orjson

LONGEST = 4096
MOST = 10_000  # sessions that are cached after they were read
CLIENT = 100  # characters of the client's name in the note
_SEAL = 16  # bytes


@dataclass(frozen=True, slots=True)
class Session:
    """A session. `inner` is the server's own id; `replica` names the replica that holds it.

    `client` and `version` come from `initialize`, for the records of later calls. `run_id` is the run that
    holds it; 0 in an id of an earlier version, in which each run had a deployment of its own.
    """

    server_id: int
    deployment_id: int
    token_id: int
    inner: str
    client: str = ""
    version: str = ""
    replica: str = ""
    run_id: int = 0


def is_id(inner: bytes) -> bool:
    """Tells whether the id is visible ASCII (transports of 2025-11-25, session management)."""
    return all(0x21 <= byte <= 0x7E for byte in inner)


class Sessions:
    """Seals and reads notes.

    All gateway processes need the same `key`; with another one every session is lost.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known = lru_cache(MOST)(self._unseal)

    def seal(self, session: Session) -> str:
        """Returns the session id for the caller: visible ASCII, as the specification requires."""
        known = session.server_id, session.deployment_id, session.token_id, session.inner
        rest = session.client[:CLIENT], session.version, session.replica, session.run_id
        note = orjson.dumps([*known, *rest])
        return base64.urlsafe_b64encode(self._seal_of(note) + note).decode()

    def unseal(self, sealed: str) -> Session | None:
        """Returns the session; None for an id that the platform did not seal."""
        return self._known(sealed) if len(sealed) <= LONGEST else None

    def _unseal(self, sealed: str) -> Session | None:
        try:
            whole = base64.b64decode(sealed.encode(), b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        seal, note = whole[:_SEAL], whole[_SEAL:]
        return Session(*orjson.loads(note)) if hmac.compare_digest(seal, self._seal_of(note)) else None

    def _seal_of(self, note: bytes) -> bytes:
        return blake2b(
            note, key=self._key, digest_size=_SEAL
        ).digest()  # a keyed hash is a MAC (RFC 7693, 2.9)
