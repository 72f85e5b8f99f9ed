"""Form fields of limits and tool policies, the same for servers and tokens."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget

from servers.models import tool_patterns


class PatternLines(forms.CharField):
    """A list of names and patterns, one per line."""

    def __init__(self, *, label: str, help_text: str) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false", "class": "mh-mono"})
        super().__init__(label=label, required=False, help_text=help_text, widget=widget)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def validate(self, value: Any) -> None:
        tool_patterns.validate(value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(data) != (initial or []))


class CallsPerMinute(forms.IntegerField):
    def __init__(self, *, setting: str) -> None:
        super().__init__(
            label="Calls per minute",
            required=False,
            min_value=0,
            max_value=2**31 - 1,
            help_text=f"0: the default, {setting}.",
            widget=UnfoldAdminIntegerFieldWidget(),
        )

    def clean(self, value: Any) -> int:
        return super().clean(value) or 0
