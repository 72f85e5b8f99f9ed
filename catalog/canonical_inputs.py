"""Translates variables and arguments of a package into the shape of the schema. Pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from catalog.inputs import NUMBER

Found = dict[str, Any]

OLDER = {
    "is_required": "isRequired",
    "required": "isRequired",
    "is_secret": "isSecret",
    "secret": "isSecret",
    "sensitive": "isSecret",
    "is_repeated": "isRepeated",
    "value_hint": "valueHint",
}
TEXTS = ("name", "value", "default", "placeholder", "description", "valueHint")
MARKS = ("isRequired", "isSecret", "isRepeated")
FORMATS = {"string", "number", "boolean", "filepath"}
LIKE = {"integer": "number", "int": "number", "float": "number", "bool": "boolean", "file": "filepath",
        "path": "filepath", "file_path": "filepath"}  # fmt: skip
SECRET_FORMATS = {"password", "secret"}
# A placeholder for the reader's own value: {API_KEY}, ${API_KEY}, ${input:key}, <your key>.
STAND_IN = re.compile(r"\{[^{}]+\}|\$\{[^{}]+\}|<[^<>]+>")


def text(found: Any) -> str | None:
    """Returns a value as on a command line: `true`, `8080`, JSON for others; None for null and for empty
    containers.
    """
    if found is None or isinstance(found, str):
        return found
    if found in ({}, []):
        return None
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def listed(found: Mapping[str, Any]) -> list[Any]:
    """Returns `{NAME: {…}}` or `{NAME: "default"}` as a list of inputs; a single input as a list of one."""
    if "type" in found or ("name" in found and isinstance(found["name"], str)):
        return [dict(found)]
    return [{"name": name, **(each if isinstance(each, dict) else {"default": each})}
            for name, each in found.items()]  # fmt: skip


def variable(found: Any) -> Found:
    """Returns an environment variable; `NAME` and `NAME=default` are accepted, too."""
    if isinstance(found, str):
        name, equals, value = found.partition("=")
        found = {"name": name, **({"default": value} if equals else {})}
    made = _input(found)
    if made.get("value") == "" or _is_stand_in(made):
        del made["value"]
    return made


def argument(found: Any) -> Found:
    """Returns an argument, named or positional; a text is a positional one."""
    if not isinstance(found, dict):
        return {"type": "positional", "value": text(found) or ""}
    made = _input(found)
    kind = made.get("type")
    if kind not in ("named", "positional"):
        kind = "named" if made.get("name", "").startswith("-") else "positional"
    if kind == "named" and not made.get("name"):
        kind = "positional"
    made["type"] = kind
    return _named(made) if kind == "named" else _positional(made)


def _positional(made: Found) -> Found:
    if "value" not in made and not made.get("valueHint"):
        made["valueHint"] = made.get("name") or "value"
    return made


def _named(made: Found) -> Found:
    """Splits `--with x` in a name into the flag and its value, and removes a flag that the value repeats."""
    name, _, rest = made["name"].strip().partition(" ")
    value = made.get("value")
    if rest and value in (None, made["name"], name):
        value = rest.strip()
    elif value is not None and name.startswith("-"):
        value = _without_flag(value, name)
    return {**made, "name": name, **({} if value is None else {"value": value})}


def _without_flag(value: str, name: str) -> str:
    if value == name:
        return ""
    return next((value[len(name) + 1 :] for sign in " =" if value.startswith(name + sign)), value)


def _input(found: Any) -> Found:
    if not isinstance(found, dict):
        return {"description": text(found) or ""}
    made = {str(OLDER.get(key, key)): value for key, value in found.items() if value is not None}
    texts = {key: text(made[key]) for key in TEXTS if key in made}
    made = {key: value for key, value in {**made, **texts}.items() if value is not None}
    made |= {key: made[key] is True or str(made[key]).lower() in ("true", "1", "yes")
             for key in MARKS if key in made}  # fmt: skip
    if "choices" in made:
        made["choices"] = list(_choices(made["choices"]))
    if "variables" in made:
        made["variables"] = _variables(made["variables"])
    return _fitting(_formatted(made))


def _variables(found: Any) -> dict[str, Found]:
    held = found if isinstance(found, dict) else {}
    return {name: _input(each if isinstance(each, dict) else {"default": each})
            for name, each in held.items()}  # fmt: skip


def _choices(found: Any) -> Iterator[str]:
    for each in found if isinstance(found, list) else ():
        value = each.get("value", each.get("const")) if isinstance(each, dict) else each
        if (said := text(value)) is not None:
            yield said


def _formatted(made: Found) -> Found:
    if "format" not in made:
        return made
    kind = (text(made["format"]) or "").lower()
    secret = {"isSecret": True} if kind in SECRET_FORMATS else {}
    kind = LIKE.get(kind, kind)
    return {**made, **secret, "format": kind if kind in FORMATS else "string"}


def _fitting(made: Found) -> Found:
    """Loosens format or choices that the input's own default does not fulfil."""
    default, choices = made.get("default"), made.get("choices") or ()
    if not default:
        return made
    kind = made.get("format")
    if kind == "boolean" and default.lower() in ("true", "false"):
        made["default"] = default.lower()
    elif kind == "boolean" or (kind == "number" and not NUMBER.fullmatch(default)):
        made["format"] = "string"
    if choices and default not in choices:
        alike = next((choice for choice in choices if choice.lower() == default.lower()), "")
        made |= {"default": alike} if alike else {"choices": [*choices, default]}
    return made


def _is_stand_in(made: Mapping[str, Any]) -> bool:
    """Tells whether the value is only a placeholder. A `{name}` in `variables` is a template."""
    value, asked = made.get("value"), made.get("isRequired") or made.get("isSecret")
    if value is None or not asked or not STAND_IN.fullmatch(value):
        return False
    return value.strip("{}") not in (made.get("variables") or {})
