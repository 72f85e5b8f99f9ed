from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanSwitchWidget,
)

from hooks.models import Kind, validate_patterns


class Globs(forms.CharField):
    """A list of globs, one per line."""

    def __init__(self, *, label: str, help_text: str) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false", "class": "mh-mono"})
        super().__init__(label=label, required=False, help_text=help_text, widget=widget)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def validate(self, value: Any) -> None:
        validate_patterns(value)


class FilterForm(forms.Form):
    branches = Globs(
        label="Branches",
        help_text="One glob per line, such as main, release/* or tags/v*. Empty: that of the server.",
    )
    paths = Globs(
        label="Changed paths",
        help_text="One glob per line, such as src/** or !docs/**. Empty: any change deploys.",
    )
    enabled = forms.BooleanField(
        label="On", required=False, initial=True, widget=UnfoldBooleanSwitchWidget,
        help_text="While it is off, what arrives is kept and deploys nothing.",
    )  # fmt: skip


class NewHookForm(FilterForm):
    kind = forms.ChoiceField(
        label="Who will call it", choices=Kind.choices, initial=Kind.GITHUB,
        widget=UnfoldAdminRadioSelectWidget,
    )  # fmt: skip
    field_order = ["kind", "branches", "paths", "enabled"]
