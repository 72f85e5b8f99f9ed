from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldBooleanSwitchWidget

from console.gateway_fields import PatternLines
from hooks.models import Kind, validate_patterns


class Globs(PatternLines):
    """A list of globs, one per line."""

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
