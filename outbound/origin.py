"""Returns the origin of a URL (RFC 6454): scheme, host and port. A credential is bound to it."""

from __future__ import annotations

import re

PORTS = {"http": "80", "https": "443", "ssh": "22", "git": "9418"}
# Stricter than URL parsers, which differ on backslashes, percent signs and a second @.
_ADDRESS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:[^\x00-\x20\x7f@/?#\\]*@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._-]|[^\x00-\xa0])+)(?::(?P<port>[0-9]{0,5}))?(?:[/?#].*)?",
    re.DOTALL,
)


def origin_of(url: str) -> str:
    """Returns `https://host` or `https://host:8443`: in lower case, without the scheme's usual port.

    Returns "" for a URL whose host could be read in more than one way.
    """
    found = _ADDRESS.fullmatch(url)
    if found is None:
        return ""
    scheme, host = _lower(found["scheme"]), _lower(found["host"])
    port = (found["port"] or "").lstrip("0")
    return f"{scheme}://{host}" + (f":{port}" if port and port != PORTS.get(scheme) else "")


def _lower(text: str) -> str:
    """Lowers ASCII letters only: others could become another letter, and so another host."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)
