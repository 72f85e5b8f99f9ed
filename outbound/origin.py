"""The origin of an address (RFC 6454): scheme, host and port. It is what a credential is given for."""

from __future__ import annotations

import re

PORTS = {"http": "80", "https": "443", "ssh": "22", "git": "9418"}
# Stricter than parsers are, which differ on what follows a backslash, a percent sign or a second @.
_ADDRESS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:[^\x00-\x20\x7f@/?#\\]*@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._-]|[^\x00-\xa0])+)(?::(?P<port>[0-9]{0,5}))?(?:[/?#].*)?",
    re.DOTALL,
)


def origin_of(url: str) -> str:
    """`https://host` or `https://host:8443`, in lower case and without a scheme's usual port.

    "" for an address whose host is not plain to see, which is nobody's origin.
    """
    found = _ADDRESS.fullmatch(url)
    if found is None:
        return ""
    scheme, host = _lower(found["scheme"]), _lower(found["host"])
    port = (found["port"] or "").lstrip("0")
    return f"{scheme}://{host}" + (f":{port}" if port and port != PORTS.get(scheme) else "")


def _lower(text: str) -> str:
    """Of ASCII letters alone: others become another letter, and so another host."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)
