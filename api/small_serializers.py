"""Logs, secrets, tokens, metrics and health as JSON."""

from __future__ import annotations

from typing import Any

import orjson
from django.utils import timezone
from rest_framework import serializers

from api import enums
from api.fields import PatternsField
from api.strict import RowShape, Shape
from servers.models import Secret, Server, Token
from servers.models.log import LogStream

MOST_DETAILS = 16 * 1024
LONGEST_PLATFORM = 32


class LogLineShape(Shape):
    """`id` is the order in which lines were kept."""

    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    stream = serializers.ChoiceField(choices=LogStream.values)
    level = serializers.ChoiceField(
        choices=enums.LOG_LEVEL,
        allow_blank=True,
        help_text="What the line claims; empty where it claims none.",
    )
    text = serializers.CharField()
    deployment = serializers.IntegerField(allow_null=True)
    step = serializers.IntegerField(allow_null=True)


class LogPage(Shape):
    results = LogLineShape(many=True)
    next = serializers.URLField(allow_null=True, help_text="The page that follows in time; null at the end.")


class MetricShape(Shape):
    """One event of the telemetry contract; `details` has the keys of its `event_type`."""

    id = serializers.IntegerField()
    server = serializers.IntegerField()
    deployment = serializers.IntegerField(allow_null=True)
    timestamp = serializers.DateTimeField()
    event_type = serializers.CharField()
    details = serializers.DictField()


class MetricPage(Shape):
    next = serializers.URLField(allow_null=True)
    results = MetricShape(many=True)


class CustomMetric(Shape):
    event_type = serializers.RegexField(
        r"^custom\.[a-z0-9_.-]{1,56}\Z",
        error_messages={
            "invalid": "Starts with “custom.”, then 1 to 56 lower-case letters, digits, “_”, “.” or “-”."
        },
    )
    details = serializers.DictField(required=False, default=dict)

    def validate_details(self, details: dict[str, Any]) -> dict[str, Any]:
        try:
            size = len(orjson.dumps(details))
        except orjson.JSONEncodeError:
            raise serializers.ValidationError("Must be a JSON object.") from None
        if size > MOST_DETAILS:
            raise serializers.ValidationError(f"At most {MOST_DETAILS} bytes of JSON; this has {size}.")
        platform = details.get("platform", "")
        if not isinstance(platform, str) or len(platform) > LONGEST_PLATFORM:
            raise serializers.ValidationError("platform must be text such as linux/arm64.")
        return details


class SecretSerializer(RowShape[Secret]):
    """The value can be set and replaced, and is never shown. `origin` is where a credential for the source
    belongs to: scheme, host and port."""

    updated_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = Secret
        fields = ["name", "purpose", "origin", "updated_at", "updated_by"]
        read_only_fields = fields


class SecretValue(Shape):
    value = serializers.CharField(write_only=True, trim_whitespace=False, max_length=65_536)
    origin = serializers.CharField(
        write_only=True, required=False, default="", max_length=520,
        help_text="With the purpose `source`: where you mean it for, such as https://forge.example. Refused "
        "where the source lies elsewhere by now.",
    )  # fmt: skip


class TokenSerializer(RowShape[Token]):
    """One that is asked for with a token reaches no further than that one and ends no later; what is left out
    or empty is as it is there. `made_with` is that token."""

    owner = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
    server = serializers.IntegerField(
        source="server_id", required=False, allow_null=True, help_text="Left out: every server of the owner."
    )

    tools_allowed = PatternsField(required=False)
    tools_denied = PatternsField(required=False)

    class Meta:
        model = Token
        fields = [
            "id", "name", "scope", "server", "owner", "prefix", "calls_per_minute", "tools_allowed",
            "tools_denied", "made_with", "created_at", "expires_at", "last_used_at", "revoked_at",
        ]  # fmt: skip
        read_only_fields = ["prefix", "made_with", "created_at", "last_used_at", "revoked_at"]

    def validate_server(self, pk: int | None) -> int | None:
        visible = Server.objects.visible_to(self.context["request"].user)
        if pk is not None and not visible.filter(pk=pk).exists():
            raise serializers.ValidationError("There is no such server.")
        return pk

    def validate_expires_at(self, moment: Any) -> Any:
        if moment is not None and moment <= timezone.now():
            raise serializers.ValidationError("This moment is past.")
        return moment


class IssuedToken(TokenSerializer):
    value = serializers.CharField(read_only=True, help_text="The token itself: shown this once.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "value"]


class OfferShape(Shape):
    """One action of a runbook; where `refusal` is not empty it makes no sense now."""

    name = serializers.CharField()
    title = serializers.CharField()
    preview = serializers.ListField(child=serializers.CharField(), help_text="What it will do.")
    refusal = serializers.CharField(allow_blank=True)
    method = serializers.CharField(help_text="Always POST.")
    url = serializers.URLField()
    command = serializers.CharField(help_text="The same from the command line.")


class DiagnosisShape(Shape):
    """`name` is that of a class in docs/runbook.md; the actions stand in their order of fit."""

    name = serializers.CharField(allow_null=True)
    title = serializers.CharField(allow_blank=True)
    what = serializers.CharField(allow_blank=True)
    means = serializers.ListField(child=serializers.CharField())
    first = serializers.CharField(allow_blank=True, help_text="What has to be done by hand before.")
    actions = OfferShape(many=True)


class DifferenceShape(Shape):
    name = serializers.CharField()
    before = serializers.CharField(allow_blank=True)
    after = serializers.CharField(allow_blank=True)


class DurationShape(Shape):
    step = serializers.CharField()
    before = serializers.IntegerField(allow_null=True, help_text="Milliseconds.")
    after = serializers.IntegerField(allow_null=True)


class NamesShape(Shape):
    """Names of variables; `changed` ones have another value."""

    added = serializers.ListField(child=serializers.CharField())
    removed = serializers.ListField(child=serializers.CharField())
    changed = serializers.ListField(child=serializers.CharField())


class ToolChangeShape(Shape):
    """`broken` is what an existing call may trip over, `other` the rest."""

    name = serializers.CharField()
    breaking = serializers.BooleanField()
    broken = serializers.ListField(child=serializers.CharField())
    other = serializers.ListField(child=serializers.CharField())


class ToolChangesShape(Shape):
    added = serializers.ListField(child=serializers.CharField())
    removed = serializers.ListField(child=serializers.CharField())
    changed = ToolChangeShape(many=True)


class ComparisonShape(Shape):
    """`before` and `after` are numbers of deployments, the older one first. `plan` (what differs of how they
    were built) is null where one of them was not built from a source, `environment`, `secrets` and
    `settings` (those that differ) are null where one of them was never started, `tools` where one never
    listed them."""

    before = serializers.IntegerField()
    after = serializers.IntegerField()
    facts = DifferenceShape(many=True)
    durations = DurationShape(many=True)
    plan = DifferenceShape(many=True, allow_null=True)
    environment = NamesShape(allow_null=True)
    secrets = NamesShape(allow_null=True)
    settings = DifferenceShape(many=True, allow_null=True)
    tools = ToolChangesShape(allow_null=True)


class Check(Shape):
    status = serializers.ChoiceField(choices=enums.HEALTH_STATUS)
    detail = serializers.CharField()


class Health(Shape):
    status = serializers.ChoiceField(choices=enums.HEALTH_STATUS)
    version = serializers.CharField()
    checks = serializers.DictField(child=Check())
