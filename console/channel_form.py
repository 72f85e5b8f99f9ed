"""The form of a notice channel. Its URL is a secret: it can be replaced, and is not shown again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import User
from unfold.widgets import (
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectMultipleWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from access.models import Team
from hosting.errors import Invalid
from notices import kinds
from notices.models import Channel, Scope
from servers import channels
from servers.models import Server

FIELDS = ("name", "kind", "scope", "on_failed", "on_recovered", "on_held", "enabled")
SWITCHES = {
    "on_failed": "Notify of failures",
    "on_recovered": "Notify of recoveries",
    "on_held": "Notify of deployments that wait for approval",
    "enabled": "Enabled",
}


class ChannelForm(forms.Form):
    """Offers the servers that `user` sees, and their teams and owners."""

    name = forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget)
    kind = forms.ChoiceField(choices=kinds.choices, widget=UnfoldAdminRadioSelectWidget)
    url = forms.CharField(
        label="URL", max_length=2000, widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"})
    )
    scope = forms.ChoiceField(
        label="Which servers", choices=Scope.choices, widget=UnfoldAdminRadioSelectWidget
    )
    servers = forms.ModelMultipleChoiceField(
        Server.objects.none(), required=False, widget=UnfoldAdminSelectMultipleWidget,
        help_text="Used where only chosen servers are selected above.",
    )  # fmt: skip
    teams = forms.ModelMultipleChoiceField(
        Team.objects.none(), required=False, widget=UnfoldAdminSelectMultipleWidget,
        help_text="And the servers of these teams.",
    )  # fmt: skip
    owners = forms.ModelMultipleChoiceField(
        User.objects.none(), required=False, widget=UnfoldAdminSelectMultipleWidget,
        help_text="And the servers of these owners.",
    )  # fmt: skip

    def __init__(self, data: Any = None, *, user: Any, channel: Channel | None = None) -> None:
        first = {"kind": kinds.DEFAULT, "scope": Scope.ALL, **dict.fromkeys(SWITCHES, True)}
        super().__init__(data, initial=_values(channel) if channel else first)
        for name, label in SWITCHES.items():
            self.fields[name] = forms.BooleanField(
                label=label, required=False, widget=UnfoldBooleanSwitchWidget
            )
        self._offer(channel.owner if channel else user)
        self.fields["url"].help_text = _help(channel)
        self.fields["url"].required = channel is None

    def _offer(self, owner: Any) -> None:
        for name, rows in channels.offered(owner).items():
            self.fields[name].queryset = rows  # type: ignore[attr-defined]
            if name != "servers" and not rows.exists():
                del self.fields[name]

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        if url:
            try:
                channels.checked_url(url, self.cleaned_data.get("kind", kinds.DEFAULT))
            except Invalid as error:
                raise forms.ValidationError(str(error)) from None
        return url


def _help(channel: Channel | None) -> str:
    if channel is None:
        wheres = [kind.where for kind in kinds.found().values() if kind.where]
        return " ".join(["Stored encrypted and not shown again.", *wheres])
    kept = f"Empty keeps the present URL, at {channel.host}."
    return (
        f"{kept} Another scheme, host or port drops the signing secret: a new one is created and shown once."
    )


def _values(channel: Channel) -> dict[str, Any]:
    lists = {name: list(getattr(channel, name).all()) for name in channels.LISTS}
    return {**{name: getattr(channel, name) for name in FIELDS}, **lists}
