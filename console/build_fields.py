"""Form fields of how a server is built. `servers.models.build_choices` says what is valid."""

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

# Shown for these sources alone (console.css): such as bring files, and packages that are not from the other
# index.
OF_FILES, OF_PYTHON, OF_NODE = "mh-of-files", "mh-of-python", "mh-of-node"
_OF_OTHER_PACKAGES = {"pypi": ("node",), "npm": ("extras", "with", "python")}


def fieldset(server: Server | None, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Open where something is set, or was `given` in a form."""
    is_set = bool(server and server.build) or any(given.get(_field(key)) for key in _ORDER)
    closed = [] if is_set else ["collapse"]
    return (
        "How it is built",
        {
            "classes": [*closed, "mh-unless-image"],
            "description": "What is left empty is recognised in the source; the page of a deployment tells "
            "what was found.",
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
        label="Built as",
        required=False,
        choices=[("", "what it is recognised as"), *ECOSYSTEMS.items()],
        widget=UnfoldAdminSelectWidget(attrs={"class": OF_FILES}),
        help_text="For a source that is several things.",
    )
    build_root = _line(
        "Install root", ".", "Where it is installed, from the top of the source; “.” is the top.", OF_FILES
    )
    build_member = _line("Member", "servers/notes", "The workspace's part that starts.", OF_FILES)
    build_extras = _line("Extras", "cli, http", "Optional dependencies of Python.", OF_PYTHON)
    build_groups = _line("Groups", "server", "Dependency groups besides the usual ones.", OF_FILES)
    build_with = _lines(
        "With", "mcp<2", "Python requirements to install besides, one per line: they bound others.", OF_PYTHON
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
        """What the fields say that fit the source; what is wrong with one stands beside it."""
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
    """The value is not repeated in what is said of a line: it may be anything that was pasted."""
    pairs = [line.partition("=") for line in text.splitlines() if line.strip()]
    for number, (_, equals, _) in enumerate(pairs, start=1):
        if not equals:
            raise ValidationError(f"Line {number} has no “=”: write NAME=value.")
    return {name.strip(): value for name, _, value in pairs}


_READ: dict[str, Any] = {"extras": _words, "groups": _words, "with": _each_line, "arguments": _pairs}
_ORDER = tuple(build_choices.KEYS)
