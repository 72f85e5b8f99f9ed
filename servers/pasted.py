"""Seals what a person pasted, between two pages of the console: for that person only, for a day.

The text and its values may hold secrets, so a browser never gets them back in clear. A value that was sealed
here cannot be used as a sealed secret of a server, nor the other way round.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from typing import Any

from servers import secretbox
from servers.paste import LARGEST, Candidate

SECONDS = 24 * 3600
PURPOSE = "pasted"
MOST_SEALED = 8 * LARGEST  # characters


def seal(person: int, held: dict[str, Any]) -> str:
    """Returns `held` sealed, as ASCII text. `person` is the primary key of the user."""
    about = {"for": PURPOSE, "by": person, "until": time.time() + SECONDS, "held": held}
    packed = zlib.compress(json.dumps(about).encode())
    return secretbox.seal(base64.b64encode(packed).decode()).decode()


def unseal(person: int, sealed: str) -> dict[str, Any]:
    """Returns what was sealed for this person less than a day ago; {} for anything else."""
    try:
        packed = base64.b64decode(secretbox.open_sealed(sealed[:MOST_SEALED].encode()), validate=True)
        about = json.loads(zlib.decompressobj().decompress(packed, MOST_SEALED))
    except (secretbox.Unreadable, zlib.error, ValueError):
        return {}
    if not isinstance(about, dict) or (about.get("for"), about.get("by")) != (PURPOSE, person):
        return {}
    held = about["held"] if about.get("until", 0) > time.time() else {}
    return held if isinstance(held, dict) else {}


def values_of(candidate: Candidate) -> dict[str, Any]:
    """Returns what a candidate holds that no field of a form shows: its secrets and its token."""
    return {"secrets": dict(candidate.sealed), "token": candidate.token}
