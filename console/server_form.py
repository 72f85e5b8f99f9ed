"""The form of a server. `servers.validation` and the model decide what is valid."""

from __future__ import annotations

import shlex
from collections.abc import Container, Iterable, Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.template.defaultfilters import filesizeformat
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanWidget,
)

from access.actor import Actor
from access.models import Team
from console.build_fields import BuildFields
from console.gateway_fields import CallsPerMinute, PatternLines
from console.placement_fields import PlacementFields
from console.source_fields import SOURCE_FIELDS, SOURCES, SourceFields, password, text
from hosting.errors import Invalid
from servers import intake, pasted, services, uploads, validation
from servers.models import Server
from servers.models.server import (
    ENVIRONMENT_NAME,
    GIT_TOKEN,
    SchemaGate,
    SecretPurpose,
    SourceKind,
    Transport,
)

FIRST_SECRETS, MOST_SECRETS = 3, 50
GATEWAY = ("listed", "schema_gate", "calls_per_minute", "tools_allowed", "tools_denied", "record_arguments")
PLAIN = ("port", "path", "cpu", "memory_mb", "pids", "runtime", *GATEWAY)
_SECRET_ROWS = tuple((f"secret_name_{n}", f"secret_value_{n}") for n in range(1, MOST_SECRETS + 1))
BASICS = (None, {"fields": [("name", "slug"), "source_kind"]})
RUNNING = ("Runtime", {"fields": ["transport_choice", ("port", "path"), "command_line", "runtime"]})
SETTINGS = ("Environment", {"fields": ["environment_lines"]})
LIMITS = ("Limits", {"classes": ["collapse"], "fields": ["cpu", "memory_mb", "pids"]})
CALLS = (
    "Calls",
    {
        "classes": ["collapse"],
        "description": "Applies within a second, without a deployment.",
        "fields": [("tools_allowed", "tools_denied"), "calls_per_minute", "record_arguments", "listed"],
    },
)
ACCESS = (
    "Access",
    {
        "description": "Its secrets stay with it: the new team chooses the code that reads them.",
        "fields": [("team", "owner")],
    },
)
CHANGES = ("Tool changes", {"classes": ["collapse"], "fields": ["schema_gate"]})
DEPLOY = (None, {"fields": ["deploy"]})
EDIT_FIELDSETS = [
    BASICS, *SOURCES, RUNNING, SETTINGS, LIMITS, CALLS, CHANGES, ACCESS, DEPLOY,
]  # fmt: skip


def add_fieldsets(given: Container[str]) -> list[Any]:
    """The fieldsets of a new server. `given` holds the names of the fields that are filled in."""
    secrets = {
        "description": "Environment variables that are stored encrypted: nobody can read them back.",
        "fields": secret_rows(given),
    }
    return [
        BASICS, *SOURCES, RUNNING, SETTINGS, ("Secrets", secrets), LIMITS, CALLS,
        ("Access", {"fields": ["team"]}), CHANGES, DEPLOY,
    ]  # fmt: skip


def secret_rows(given: Container[str]) -> list[tuple[str, str]]:
    """The pairs of fields for secrets: a few empty ones, and those that `given` fills in."""
    return [row for n, row in enumerate(_SECRET_ROWS) if n < FIRST_SECRETS or row[0] in given]


class ServerForm(forms.ModelForm, SourceFields, PlacementFields, BuildFields):  # type: ignore[type-arg]
    transport_choice = forms.ChoiceField(
        label="Transport",
        required=False,
        choices=[("", "Default for the source"), *Transport.choices],
        help_text="Images usually listen over HTTP; packages and repositories usually speak stdio.",
        widget=UnfoldAdminSelectWidget,
    )
    command_line = text("Command", "detected from the source", "Replaces the command that was detected.")
    environment_lines = forms.CharField(
        label="Variables",
        required=False,
        strip=False,
        help_text="One NAME=value per line. Store passwords and keys as secrets.",
        widget=UnfoldAdminTextareaWidget(
            attrs={"rows": 4, "spellcheck": "false", "placeholder": "LOG_LEVEL=info", "class": "mh-mono"}
        ),
    )
    secret_name_1, secret_value_1 = text("Name", "API_KEY"), password("Value")
    secret_name_2, secret_value_2 = text("Name"), password("Value")
    secret_name_3, secret_value_3 = text("Name"), password("Value")
    calls_per_minute = CallsPerMinute(setting="RATE_LIMIT_PER_SERVER")
    tools_allowed = PatternLines(
        label="Tools allowed",
        help_text="One name or pattern such as read_* per line. Empty: all that are not denied.",
    )
    tools_denied = PatternLines(label="Tools denied", help_text="Neither listed nor called.")
    schema_gate = forms.ChoiceField(
        label="If a deployment breaks callers",
        choices=SchemaGate.choices,
        required=False,
        initial=SchemaGate.WARN,
        help_text="Tools are removed, or their input or output changed incompatibly.",
        widget=UnfoldAdminSelectWidget,
    )
    deploy = forms.BooleanField(label="Deploy now", required=False, widget=UnfoldBooleanWidget)
    # What was read of a pasted text and is not shown: see `servers.pasted`.
    pasted = forms.CharField(required=False, widget=forms.HiddenInput)

    by: Actor  # who fills it in

    class Meta:
        model = Server
        fields = ["name", "slug", "team", "owner", "source_kind", *PLAIN]
        help_texts = {"slug": "The last part of the URL. It cannot be changed."}
        labels = {"cpu": "CPU", "memory_mb": "Memory", "pids": "Processes"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_new = self.instance.pk is None
        self.secret_rows = secret_rows(self.data or self.initial)
        for name, value in self.secret_rows[FIRST_SECRETS:]:
            self.fields[name], self.fields[value] = text("Name"), password("Value")
        self.held = self._held()
        self._explain()
        if "team" in self.fields and self.instance.team_id:  # it may stay, whoever operates it
            self.fields["team"].queryset |= Team.objects.filter(pk=self.instance.team_id)  # type: ignore[attr-defined]
        self.stored_placement = dict(self.instance.placement)
        self._fill() if not self.is_new else None
        self._offer_account_token()

    def _offer_account_token(self) -> None:
        """Disables the field for people who may not turn it on. `_check_placement` refuses a forged
        request."""
        if not self.by.is_administrator and not self.stored_placement.get("account_token"):
            self.fields["account_token"].widget.attrs["disabled"] = True
            self.fields["account_token"].help_text += " Only an administrator of the platform can turn it on."

    def _explain(self) -> None:
        limit = filesizeformat(settings.UPLOAD_MAX_BYTES)
        self.fields["archive"].help_text = f"A .tar.gz or .zip of at most {limit}."
        self.fields["deploy"].initial = self.is_new
        if not self.is_new:
            self.fields["deploy"].help_text = "What runs keeps its old settings until the next deployment."
        for name, value in self.secret_rows:
            if self.data.get(name, self.initial.get(name)) in self.held.get("secrets", {}):
                self.fields[
                    value
                ].help_text = "Its value was in the pasted text and is stored encrypted. Empty keeps it."
        if self.held.get("token"):
            self.fields[
                "git_token"
            ].help_text = "It was in the pasted text and is stored encrypted. Empty keeps it."
        if "slug" in self.fields:
            self.fields["slug"].required = False
            self.fields["slug"].help_text = "The last part of the URL. Empty: made from the name."

    def _held(self) -> dict[str, Any]:
        sealed = str(self.data.get("pasted", self.initial.get("pasted", "")))
        return pasted.unseal(self.by.user.pk, sealed) if sealed and self.by.user else {}

    def _fill(self) -> None:
        """Fills the fields that are not columns from the row."""
        kind = SourceKind(self.instance.source_kind)
        for key, name in SOURCE_FIELDS[kind].items():
            self.initial[name] = self.instance.source.get(key, "")
        if kind in (SourceKind.PACKAGE, SourceKind.IMAGE):
            self.initial[f"{kind}_arguments"] = _joined(self.instance.source.get("arguments", []))
        self.initial["transport_choice"] = self.instance.transport
        self.fill_placement(self.instance.placement)
        self.fill_build(self.instance.build)
        self.initial["command_line"] = _joined(self.instance.command)
        self.initial["environment_lines"] = "\n".join(
            f"{k}={v}" for k, v in self.instance.environment.items()
        )
        if kind == SourceKind.GIT:
            self.fields["git_token"].help_text = self._token_note()
            self.fields[
                "git_url"
            ].help_text = (
                "Another scheme, host or port drops the access token and the secrets of the forge's webhooks."
            )
        if kind == SourceKind.UPLOAD:
            self.initial.pop("archive", None)
            name = self.instance.source.get("filename", "an archive")
            self.fields["archive"].help_text += f" Empty keeps {name}."

    def _token_note(self) -> str:
        """The help text of the access token: it tells when a change of the URL drops the token."""
        secret = self.instance.secrets.filter(purpose=SecretPurpose.SOURCE, name=GIT_TOKEN).first()
        if secret is None:
            return "For a private repository. Stored encrypted, for this scheme, host and port only."
        place = secret.origin or "another place"
        return f"Empty keeps the one for {place}; with another scheme, host or port in the URL it is dropped."

    # --- Each part, cleaned; `clean` joins them

    def clean_slug(self) -> str:
        return self.cleaned_data.get("slug") or intake.free_slug(self.cleaned_data.get("name", ""))

    def clean_environment_lines(self) -> dict[str, str]:
        return validation.parse_environment(self.cleaned_data["environment_lines"])

    def clean_command_line(self) -> list[str]:
        return validation.parse_words(self.cleaned_data["command_line"])

    def clean_runtime(self) -> str:
        wanted, stored = str(self.cleaned_data["runtime"]), "" if self.is_new else self.instance.runtime
        try:
            intake.check_runtime(by=self.by, wanted=wanted, stored=stored)
        except Invalid as error:
            raise ValidationError(str(error)) from None
        return wanted

    def clean_schema_gate(self) -> str:
        return str(self.cleaned_data["schema_gate"] or self.instance.schema_gate)

    def clean_archive(self) -> Any:
        file = self.cleaned_data["archive"]
        if file and file.size > settings.UPLOAD_MAX_BYTES:
            raise ValidationError(str(uploads.too_large()))
        if file and not file.name.lower().endswith(tuple(uploads.ENDINGS)):
            raise ValidationError(f"Choose a file that ends in {', '.join(uploads.ENDINGS)}.")
        if file:
            self._check_room(file.size)
        return file

    def _check_room(self, size: int) -> None:
        try:
            uploads.check_room(self.instance.owner_id or self.by.person.pk, size)
        except Invalid as error:
            raise ValidationError(str(error)) from None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("source_kind"):
            data["source"] = self._source(SourceKind(data["source_kind"]))
            data["build"] = self.clean_build(data["source_kind"], data.get("package_ecosystem", ""))
        data["placement"] = self.clean_placement()
        self._check_placement(data["placement"])
        self._check_secrets()
        return data

    def _source(self, kind: SourceKind) -> dict[str, Any]:
        if kind == SourceKind.UPLOAD:
            return self._upload()
        names = SOURCE_FIELDS[kind]
        try:
            return validation.clean_source(kind, {key: self.cleaned_data.get(f) for key, f in names.items()})
        except ValidationError as error:
            self._tell(error, names)
        return {}

    def _tell(self, error: ValidationError, names: dict[str, str]) -> None:
        for key, messages in error.message_dict.items():
            if names.get(key) not in self.errors:
                self.add_error(names.get(key), messages)

    def _upload(self) -> dict[str, Any]:
        """The source without the archive: `save_model` adds it when it stores the file."""
        kept = self.instance.source if self.instance.source_kind == SourceKind.UPLOAD else {}
        if not self.cleaned_data.get("archive") and not kept and "archive" not in self.errors:
            self.add_error("archive", "Choose an archive.")
        said = {"subdirectory": self.cleaned_data.get("archive_subdirectory", "")}
        try:
            return {**kept, **validation.clean_archive_options(said)}
        except ValidationError as error:
            self._tell(error, SOURCE_FIELDS[SourceKind.UPLOAD])
        return dict(kept)

    def _check_placement(self, wanted: dict[str, Any]) -> None:
        try:
            intake.check_placement(by=self.by, wanted=wanted, stored=self.stored_placement)
        except Invalid as error:
            self.add_error("account_token", str(error))

    def _check_secrets(self) -> None:
        if not self.is_new:
            return
        seen: set[str] = set()
        for name_field, value_field in self.secret_rows:
            name, value = self.cleaned_data.get(name_field, ""), self._secret_value(name_field, value_field)
            self._check_name(name_field, name)
            if name and not value:
                self.add_error(value_field, f"{name} needs a value.")
            if value and not name:
                self.add_error(name_field, "This value needs a name.")
            if name in seen:
                self.add_error(name_field, f"{name} is given twice.")
            seen |= {name} - {""}

    def _secret_value(self, name_field: str, value_field: str) -> str:
        """The typed value, else the value in the pasted text."""
        held: Mapping[str, str] = self.held.get("secrets", {})
        return self.cleaned_data.get(value_field, "") or held.get(self.cleaned_data.get(name_field, ""), "")

    def _check_name(self, field: str, name: str) -> None:
        try:
            ENVIRONMENT_NAME(name or "EMPTY")
        except ValidationError as error:
            self.add_error(field, error.messages)

    # --- What the services are given

    def server_fields(self) -> dict[str, Any]:
        """The columns, validated."""
        data = self.cleaned_data
        own = [
            name
            for name in ("name", "slug", "team", "owner", "source_kind", "source", *PLAIN)
            if name in data
        ]
        return {
            **{name: data[name] for name in own},
            "transport": data["transport_choice"] or services.default_transport(data["source_kind"]),
            "command": data["command_line"],
            "environment": data["environment_lines"],
            "build": data["build"],
            "placement": data["placement"],
        }

    def first_secrets(self) -> dict[str, str]:
        data = self.cleaned_data
        return {
            data[name]: self._secret_value(name, value) for name, value in self.secret_rows if data.get(name)
        }

    @property
    def token(self) -> str:
        """The git token to set; "" where none was typed or the source is another."""
        is_git = self.cleaned_data["source_kind"] == SourceKind.GIT
        return str(self.cleaned_data["git_token"] or self.held.get("token", "")) if is_git else ""

    @property
    def upload(self) -> Any:
        """The file to take in, or None."""
        return self.cleaned_data["archive"] if self.cleaned_data["source_kind"] == SourceKind.UPLOAD else None


def _joined(words: Iterable[str]) -> str:
    return shlex.join(words)
