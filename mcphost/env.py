"""Reads settings from the environment. An error names the variable, its value and what is accepted.

Values come from the process environment, then from `.env`. `NAME_FILE` names a file that holds the value.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from dotenv import dotenv_values

T = TypeVar("T")
PLATFORMS = {
    "linux/amd64", "linux/arm64", "linux/arm/v6", "linux/arm/v7", "linux/386",
    "linux/ppc64le", "linux/riscv64", "linux/s390x",
}  # fmt: skip

HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


class BadSetting(Exception):
    """A setting is not accepted. One line for a terminal: the variable, its value, and what is accepted."""


@dataclass(frozen=True)
class Declared:
    """A setting that was read, with its default."""

    name: str
    default: str
    secret: bool = False


class Environment:
    """Reads settings, and remembers them in `declared`, so that a test can compare the README with them.

    All readers raise `BadSetting`.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.declared: dict[str, Declared] = {}

    @classmethod
    def load(cls, base: Path) -> Environment:
        """Returns the process environment over the file that ENV_FILE names; by default `.env` in `base`."""
        return cls({**stored(dotenv_path(base)), **os.environ})

    def text(self, name: str, default: str = "", *, secret: bool = False) -> str:
        """Returns the text, or `default` if it is empty. `secret`: errors do not show its value."""
        self.declared[name] = Declared(name, default, secret)
        return self._raw(name) or default

    def boolean(self, name: str, default: bool) -> bool:
        words = {
            "true": True,
            "1": True,
            "yes": True,
            "on": True,
            "false": False,
            "0": False,
            "no": False,
            "off": False,
        }
        return self._parsed(name, str(default).lower(), lambda v: words[v.lower()], "true or false")

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        return self._parsed(
            name, str(default), lambda v: _within(int(v), low, high), f"a whole number from {low} to {high}"
        )

    def number(self, name: str, default: float, low: float, high: float) -> float:
        return self._parsed(
            name, f"{default:g}", lambda v: _within(float(v), low, high), f"a number from {low:g} to {high:g}"
        )

    def choice(self, name: str, default: str, options: Iterable[str]) -> str:
        allowed = list(options)
        return self._parsed(
            name, default, lambda v: allowed[allowed.index(v.lower())], "one of " + ", ".join(allowed)
        )

    def names(self, name: str, default: str = "", *, secret: bool = False) -> list[str]:
        return self._parsed(name, default, _split, "a comma-separated list", secret=secret)

    def hosts(self, name: str) -> list[str]:
        return self._parsed(name, "", _hosts, "a comma-separated list of host[:port], with no scheme")

    def patterns(self, name: str, regex: str, accepted: str) -> list[str]:
        return self._parsed(name, "", lambda v: [_matching(part, regex) for part in _split(v)], accepted)

    def words(self, name: str) -> list[str]:
        """Returns the words of a command line."""
        return self._parsed(name, "", shlex.split, "a command line with closed quotation marks")

    def platforms(self, name: str, default: str) -> list[str]:
        return self._parsed(
            name, default, _platforms, "a comma-separated list of " + ", ".join(sorted(PLATFORMS))
        )

    def path(self, name: str, default: str = "") -> Path | None:
        """Returns an absolute path, or None if it is empty."""
        return self._parsed(name, default, lambda v: Path(v).expanduser().absolute() if v else None, "a path")

    def readable_file(self, name: str) -> Path | None:
        return self._parsed(
            name, "", lambda v: _readable(v) if v else None, "a file that this process can read"
        )

    def url(self, name: str, default: str, schemes: Iterable[str], *, secret: bool = False) -> str:
        """Returns a URL with one of `schemes`, or "". `secret`: errors do not show its value.

        A URL with a login is never shown.
        """
        allowed = tuple(schemes)
        return self._parsed(
            name,
            default,
            lambda v: _url(v, allowed) if v else "",
            "a URL that starts with " + ", ".join(f"{s}://" for s in allowed),
            secret=secret,
        )

    def pattern(self, name: str, default: str, regex: str, accepted: str) -> str:
        """Returns text that matches `regex`, or "". `accepted` describes it in the error."""
        return self._parsed(name, default, lambda v: _matching(v, regex) if v else "", accepted)

    def _raw(self, name: str) -> str:
        value = self.values.get(name, "").strip()
        file = self.values.get(f"{name}_FILE", "").strip()
        if value and file:
            raise BadSetting(f"{name} and {name}_FILE are both set: keep one.")
        return _file_content(f"{name}_FILE", file) if file else value

    def _parsed(
        self, name: str, default: str, parse: Callable[[str], T], accepted: str, *, secret: bool = False
    ) -> T:
        value = self.text(name, default, secret=secret)
        try:
            return parse(value)
        except (ValueError, KeyError, OSError):
            shown = "(not shown)" if secret or "@" in value else value
            raise BadSetting(f"{name}={shown}: not accepted; it must be {accepted}.") from None


def dotenv_path(base: Path) -> Path:
    """Returns the path that ENV_FILE names; by default `.env` in `base`."""
    return Path(os.environ.get("ENV_FILE") or base / ".env")


def stored(path: Path) -> dict[str, str]:
    """Returns what the file sets; {} if there is no file. Raises `BadSetting`."""
    try:
        return {name: value for name, value in dotenv_values(path).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"ENV_FILE={path}: cannot be read ({_reason(error)}).") from None


def _file_content(name: str, file: str) -> str:
    try:
        return Path(file).expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(
            f"{name}={file}: cannot be read ({_reason(error)}); it must be a readable text file."
        ) from None


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return getattr(error, "strerror", None) or "not text"


def _within(value: T, low: float, high: float) -> T:
    if not low <= value <= high:  # type: ignore[operator]
        raise ValueError
    return value


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _hosts(value: str) -> list[str]:
    names = [name.lower() for name in _split(value)]
    if not all(HOST.fullmatch(name) and urlsplit(f"//{name}").port != 0 for name in names):
        raise ValueError
    return names


def _platforms(value: str) -> list[str]:
    names = list(dict.fromkeys(_split(value)))
    if not names or set(names) - PLATFORMS:
        raise ValueError
    return names


def _readable(value: str) -> Path:
    path = Path(value).expanduser().absolute()
    with path.open("rb"):
        return path


def _url(value: str, schemes: tuple[str, ...]) -> str:
    parts = urlsplit(value)
    if parts.scheme not in schemes or parts.port == 0:  # asking for a port that is none raises ValueError
        raise ValueError
    return value


def _matching(value: str, regex: str) -> str:
    if not re.fullmatch(regex, value):
        raise ValueError
    return value
