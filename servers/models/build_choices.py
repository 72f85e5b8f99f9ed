"""What a person sets for the build of a server (`Server.build`). A key that is absent is recognised.

`{"ecosystem": "python", "root": "", "member": "", "extras": [], "groups": [], "with": ["mcp<2"],
"python": "3.12", "node": "22", "build": "npm run build", "dockerfile": "docker/Dockerfile",
"target": "", "arguments": {"NAME": "value"}}`;
`hosting.sources.plan.Choices` says what each key means.

Errors are Django's `ValidationError`, with the wrong keys.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from django.core.exceptions import ValidationError
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from hosting.sources.plan import ECOSYSTEMS

LONGEST_TEXT, LONGEST_COMMAND, LONGEST_VALUE = 300, 2000, 4000
MOST_ITEMS, MOST_ARGUMENTS = 50, 50
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?\Z")
_STAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_MEMBER = re.compile(r"@?[A-Za-z0-9._][A-Za-z0-9._/@-]{0,199}\Z")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_PYTHON = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,3}){0,2}\Z")
_NODE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,4}){0,2}\Z")
# The builder sets these itself, or they could make it run another program.
_TAKEN = re.compile(
    r"(?i)(?:BUILDKIT_|SOURCE_DATE_EPOCH|TARGET|BUILD(?:PLATFORM|OS|ARCH|VARIANT)|[A-Z]+_PROXY\Z)"
)


# For sources with files to build from. A package is installed by its name.
_OF_FILES = ("ecosystem", "root", "member", "groups", "build", "dockerfile", "target", "arguments")


def clean(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the choices without the empty ones."""
    unknown = sorted(set(values) - set(_CLEANERS))
    if unknown:
        raise ValidationError({unknown[0]: f"Unknown key; accepted: {', '.join(_CLEANERS)}."})
    found = {key: _CLEANERS[key](key, value) for key, value in values.items() if value is not None}
    if found.get("dockerfile") and found.get("ecosystem", "") not in ("", "dockerfile"):
        raise ValidationError({"dockerfile": f"Leave it out: the ecosystem is {found['ecosystem']}."})
    return {key: value for key, value in found.items() if value not in ("", [], {})}


def validate(values: Any) -> None:
    """Raises `ValidationError` as `clean` does; for a model's field."""
    if not isinstance(values, Mapping):
        raise ValidationError("Must be an object.")
    clean(values)


def unfit(kind: str, values: Mapping[str, Any]) -> list[str]:
    """Returns the keys that have no meaning for a kind of source (`SourceKind`)."""
    never = {"image": KEYS, "package": _OF_FILES}.get(kind, ())
    return [key for key in values if key in never]


def _text(key: str, value: Any, longest: int = LONGEST_TEXT) -> str:
    if not isinstance(value, str) or len(value) > longest or re.search(r"[\x00-\x1f\x7f]", value):
        raise ValidationError({key: f"Must be one line of text of at most {longest} characters."})
    return value.strip()


def _path(key: str, value: Any) -> str:
    text = _text(key, value)
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts:
        raise ValidationError({key: "Must be a path from the top of the source, without “..”."})
    return text.rstrip("/") if text else ""


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[str, Any], str]:
    def check(key: str, value: Any) -> str:
        text = _text(key, value)
        if text and not pattern.match(text):
            raise ValidationError({key: f"“{text[:60]}” is not {what}."})
        return text

    return check


def _ecosystem(key: str, value: Any) -> str:
    text = _text(key, value)
    if text and text not in ECOSYSTEMS:
        raise ValidationError({key: f"“{text[:60]}” is not one of {', '.join(ECOSYSTEMS)}."})
    return text


def _member(key: str, value: Any) -> str:
    text = _matching(_MEMBER, "the name or the directory of a workspace's part")(key, value)
    if ".." in PurePosixPath(text).parts:
        raise ValidationError({key: "Must be a path without “..”."})
    return text.rstrip("/")


def _python(key: str, value: Any) -> str:
    text = _text(key, value)
    if not text or _PYTHON.match(text):
        return text
    try:
        return str(SpecifierSet(text))
    except InvalidSpecifier:
        raise ValidationError({key: f"“{text[:60]}” is not a version of Python, such as 3.12."}) from None


def _command(key: str, value: Any) -> str:
    text = _text(key, value, LONGEST_COMMAND)
    try:
        shlex.split(text)
    except ValueError:
        raise ValidationError({key: "A quotation mark is not closed."}) from None
    return text


def _names(key: str, value: Any) -> list[str]:
    return [_name(key, item) for item in _items(key, value)]


def _name(key: str, value: Any) -> str:
    if not (text := _matching(_NAME, "the name of an extra or a group")(key, value)):
        raise ValidationError({key: "Leave out what is empty."})
    return text


def _requirements(key: str, value: Any) -> list[str]:
    return [_requirement(key, item) for item in _items(key, value)]


def _requirement(key: str, value: Any) -> str:
    text = _text(key, value)
    try:
        found = Requirement(text)
    except InvalidRequirement:
        raise ValidationError({key: f"“{text[:60]}” is not a requirement, such as mcp<2."}) from None
    if found.url:
        raise ValidationError({key: "Name a package of the index; an address is not taken."})
    return str(found)


def _items(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > MOST_ITEMS:
        raise ValidationError({key: f"Must be a list of at most {MOST_ITEMS}."})
    return value


def _arguments(key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > MOST_ARGUMENTS:
        raise ValidationError({key: f"Must be an object of at most {MOST_ARGUMENTS} names and values."})
    return {name: _argument(key, name, text) for name, text in value.items()}


def _argument(key: str, name: Any, value: Any) -> str:
    if not isinstance(name, str) or not _ARGUMENT.match(name):
        raise ValidationError({key: f"“{str(name)[:60]}” cannot name a build argument."})
    if _TAKEN.match(name):
        raise ValidationError({key: f"{name} is set by the builder: it is not taken."})
    if not isinstance(value, str) or "\0" in value or len(value) > LONGEST_VALUE:
        raise ValidationError({key: f"{name} must be text of at most {LONGEST_VALUE} characters."})
    return value


_CLEANERS: dict[str, Callable[[str, Any], Any]] = {
    "ecosystem": _ecosystem,
    "root": _path,
    "member": _member,
    "extras": _names,
    "groups": _names,
    "with": _requirements,
    "python": _python,
    "node": _matching(_NODE, "a version of Node, such as 22"),
    "build": _command,
    "dockerfile": _path,
    "target": _matching(_STAGE, "the name of a build stage"),
    "arguments": _arguments,
}
KEYS = tuple(_CLEANERS)
