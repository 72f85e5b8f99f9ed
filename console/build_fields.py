"""The form fields of `Server.build`. `servers.models.build_choices` validates them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from hosting.sources.plan import ECOSYSTEMS
from servers.models import Server, build_choices
from servers.models.server import SourceKind

# Classes of fields that only some sources use; console.css hides them for the others. OF_FILES: sources with
# files (git, archive). OF_PYTHON and OF_NODE: also packages of PyPI or of npm.
OF_FILES, OF_PYTHON, OF_NODE = "mh-of-files", "mh-of-python", "mh-of-node"
_OF_OTHER_PACKAGES = {"pypi": ("node",), "npm": ("extras", "with", "python")}


def fieldset(server: Server | None, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The fieldset; collapsed unless `server` or the `given` form data sets one of its fields."""
    is_set = bool(server and server.build) or any(given.get(_field(key)) for key in _ORDER)
    closed = [] if is_set else ["collapse"]
    return (
        "Build",
        {
            "classes": [*closed, "mh-unless-image"],
            "description": "Empty fields are detected from the source. "
            "The page of a deployment shows what was detected.",
            "fields": [_field(key) for key in _ORDER],
        },
    )


def _line(label: str, placeholder: str, help_text: str, shown: str = "") -> forms.CharField:
    widget = UnfoldAdminTextInputWidget(
        attrs={"placeholder": placeholder, "autocomplete": "off", "spellcheck": "false", "class": shown}
    )
    return forms.CharField(label=label, required=False, widget=widget, help_text=help_text)


def _lines(label: str, placeholder: str, help_text: str, shown: str) -> forms.CharField:
    look = {
        "rows": 2,
        "spellcheck": "false",
        "placeholder": placeholder,
        "class": f"mh-mono {shown}",
    }
    widget = UnfoldAdminTextareaWidget(attrs=look)
    return forms.CharField(label=label, required=False, strip=False, widget=widget, help_text=help_text)


class BuildFields(forms.Form):
    build_ecosystem = forms.ChoiceField(
        label="Build type",
        required=False,
        choices=[("", "Detected"), *ECOSYSTEMS.items()],
        widget=UnfoldAdminSelectWidget(attrs={"class": OF_FILES}),
        help_text="For a source that is several things.",
    )
    build_root = _line(
        "Install root", ".", "Directory to install, from the top of the source; “.” is the top.", OF_FILES
    )
    build_member = _line("Workspace member", "servers/notes", "The part of a workspace to start.", OF_FILES)
    build_extras = _line("Extras", "cli, http", "Optional dependencies of Python.", OF_PYTHON)
    build_groups = _line("Groups", "server", "Dependency groups besides the usual ones.", OF_FILES)
    build_with = _lines(
        "Extra requirements", "mcp<2", "Python requirements to install as well, one per line.", OF_PYTHON
    )
    build_python = _line("Python", "3.12", "A version, or a range such as >=3.11,<3.13.", OF_PYTHON)
    build_node = _line("Node", "22", "A version.", OF_NODE)
    build_build = _line("Build step", "npm run build", "A command, run once after installing.", OF_FILES)
    build_dockerfile = _line(
        "Dockerfile", "docker/Dockerfile", "From the top of the source; its context is the root.", OF_FILES
    )
    build_target = _line("Build stage", "runtime", "The stage of the Dockerfile to build.", OF_FILES)
    build_arguments = _lines(
        "Build arguments",
        "NAME=value",
        "Of the Dockerfile, one NAME=value per line. They stay in the image: no secrets.",
        OF_FILES,
    )

    def fill_build(self, held: Mapping[str, Any]) -> None:
        self.initial = {**self.initial, **initial(held)}

    def clean_build(self, kind: str, ecosystem: str) -> dict[str, Any]:
        """The value of `Server.build`, from the fields that the source uses. Errors are added to their
        fields."""
        found: dict[str, Any] = {}
        typed = {key: self.cleaned_data.get(_field(key)) or "" for key in _ORDER}
        others = _OF_OTHER_PACKAGES.get(ecosystem, ()) if kind == SourceKind.PACKAGE else ()
        for key in set(_ORDER) - {*build_choices.unfit(kind, typed), *others}:
            try:
                found |= build_choices.clean({key: _READ.get(key, str)(typed[key])})
            except ValidationError as error:
                self.add_error(_field(key), error.messages)
        return found


def initial(held: Mapping[str, Any]) -> dict[str, str]:
    """The fields' values of `Server.build`."""
    return {_field(key): _shown(key, value) for key, value in held.items()}


def _field(key: str) -> str:
    return f"build_{key}"


def _shown(key: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return "\n".join(f"{name}={text}" for name, text in value.items())
    return ("\n" if key == "with" else ", ").join(value) if isinstance(value, list) else str(value)


def _words(text: str) -> list[str]:
    return re.split(r"[\s,]+", text.strip(" \t\r\n,")) if text.strip(" \t\r\n,") else []


def _each_line(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _pairs(text: str) -> dict[str, str]:
    """Reads NAME=value lines. The error does not repeat the line: it may hold a pasted secret."""
    pairs = [line.partition("=") for line in text.splitlines() if line.strip()]
    for number, (_, equals, _) in enumerate(pairs, start=1):
        if not equals:
            raise ValidationError(f"Line {number} has no “=”: write NAME=value.")
    return {name.strip(): value for name, _, value in pairs}


_READ: dict[str, Any] = {"extras": _words, "groups": _words, "with": _each_line, "arguments": _pairs}
_ORDER = tuple(build_choices.KEYS)
