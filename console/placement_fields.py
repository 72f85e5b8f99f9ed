"""The form fields of `Server.placement` (Kubernetes). `servers.models.placement` validates them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from servers.models import placement

# A key of the placement -> the field that shows what is wrong with it.
_FIELDS = {
    "replicas": "replicas",
    "max_replicas": "max_replicas",
    "egress": "egress_networks",
    "volume": "volume_size_mb",
    "account_token": "account_token",
}


def fieldset() -> tuple[str, dict[str, Any]]:
    """Shown while the server's runtime is Kubernetes, by its own choice or by default (console.css)."""
    shown = "mh-unless-local" if settings.CONTAINER_RUNTIME == "kubernetes" else "mh-if-kubernetes"
    return (
        "On Kubernetes",
        {
            "classes": [shown],
            "fields": [
                ("replicas", "max_replicas"),
                ("egress_limited", "egress_networks"),
                ("volume_size_mb", "volume_path", "volume_class"),
                "account_token",
            ],
        },
    )


def _count(label: str, help_text: str) -> forms.IntegerField:
    widget = UnfoldAdminIntegerFieldWidget()
    return forms.IntegerField(label=label, required=False, min_value=0, widget=widget, help_text=help_text)


def _text(label: str, placeholder: str, help_text: str = "") -> forms.CharField:
    widget = UnfoldAdminTextInputWidget(attrs={"placeholder": placeholder, "autocomplete": "off"})
    return forms.CharField(label=label, required=False, widget=widget, help_text=help_text)


def _flag(label: str, help_text: str = "") -> forms.BooleanField:
    return forms.BooleanField(label=label, required=False, widget=UnfoldBooleanWidget(), help_text=help_text)


class PlacementFields(forms.Form):
    replicas = _count("Replicas", "Pods that run at a time. Empty: 1.")
    max_replicas = _count(
        "Maximum replicas", "More than the replicas: pods are added while their CPU is busy."
    )
    egress_limited = _flag("Restrict egress", "To the cluster's DNS and the allowed networks.")
    egress_networks = forms.CharField(
        label="Allowed networks",
        required=False,
        help_text="One per line, such as 198.51.100.0/24.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2, "spellcheck": "false", "class": "mh-mono"}),
    )
    volume_size_mb = _count(
        "Volume", "MiB. Empty: none. It is kept across deployments and deleted with the server."
    )
    volume_path = _text("Mounted at", "/data")
    volume_class = _text("Storage class", "the cluster's default")
    account_token = _flag("Service account token", "For a server that itself speaks to Kubernetes.")

    def fill_placement(self, held: dict[str, Any]) -> None:
        values = placement.clean(held)
        volume = values["volume"] or {}
        self.initial = {
            **self.initial,
            "replicas": values["replicas"],
            "max_replicas": values["max_replicas"] or None,
            "egress_limited": values["egress"] is not None,
            "egress_networks": "\n".join(values["egress"] or []),
            "volume_size_mb": volume.get("size_mb"),
            "volume_path": volume.get("path", ""),
            "volume_class": volume.get("storage_class", ""),
            "account_token": values["account_token"],
        }

    def clean_placement(self) -> dict[str, Any]:
        """The value of `Server.placement`. Errors are added to their fields; then it is empty."""
        try:
            return placement.clean(self._placement())
        except ValidationError as error:
            for key, messages in error.message_dict.items():
                self.add_error(_FIELDS[key], messages)
        return {}

    def _placement(self) -> dict[str, Any]:
        data = self.cleaned_data
        return {
            "replicas": data.get("replicas") or 1,
            "max_replicas": data.get("max_replicas") or 0,
            "egress": (data.get("egress_networks") or "").split() if data.get("egress_limited") else None,
            "volume": self._volume(),
            "account_token": bool(data.get("account_token")),
        }

    def _volume(self) -> dict[str, Any] | None:
        data = self.cleaned_data
        if not data.get("volume_size_mb"):
            return None
        path, storage_class = data.get("volume_path", ""), data.get("volume_class", "")
        return {"size_mb": data["volume_size_mb"], "path": path, "storage_class": storage_class}
