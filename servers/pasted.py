"""What a person pasted, kept between two pages of the console: sealed, for that person, for a day.

Values that look like secrets, and the text itself, which may hold some, are never sent back to a browser in
clear. What is sealed here opens nothing else, and a sealed secret of a server does not open here.
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
    """`person` is the primary key of the person. The result is plain ASCII."""
    about = {"for": PURPOSE, "by": person, "until": time.time() + SECONDS, "held": held}
    packed = zlib.compress(json.dumps(about).encode())
    return secretbox.seal(base64.b64encode(packed).decode()).decode()


def unseal(person: int, sealed: str) -> dict[str, Any]:
    """What was sealed for this person; {} for anything else."""
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
    """Of a candidate what no field of a form shows."""
    return {"secrets": dict(candidate.sealed), "token": candidate.token}
