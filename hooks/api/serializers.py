from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework import serializers

from api.fields import checked
from api.strict import RowShape
from hooks.models import Delivery, WebHook, validate_patterns


class GlobsField(serializers.ListField):
    """Globs: `*` stays within a segment, `**` crosses them."""

    child = serializers.CharField()

    def to_internal_value(self, data: Any) -> list[str]:
        patterns: list[str] = super().to_internal_value(data)
        checked(lambda: validate_patterns(patterns))
        return patterns


class WebHookSerializer(RowShape[WebHook]):
    """The secret is shown when it is made, and never again."""

    url = serializers.SerializerMethodField()
    branches = GlobsField(required=False, help_text="Empty: the ref of the server's source.")
    paths = GlobsField(required=False, help_text="Of changed paths; !docs/** leaves out. Empty: any change.")
    created_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True, allow_null=True)
    refusal = serializers.CharField(
        read_only=True, help_text="Why its secret opens nothing any more; empty: deliveries are taken."
    )

    class Meta:
        model = WebHook
        fields = [
            "id", "server", "kind", "url", "branches", "paths", "enabled", "former_until", "refusal",
            "created_at", "created_by",
        ]  # fmt: skip
        read_only_fields = ["server", "former_until", "created_at"]

    def get_url(self, hook: WebHook) -> str:
        if settings.PUBLIC_URL:
            return f"{settings.PUBLIC_URL}{hook.path}"
        return str(self.context["request"].build_absolute_uri(hook.path))


class ChangedWebHook(WebHookSerializer):
    class Meta(WebHookSerializer.Meta):
        read_only_fields = [*WebHookSerializer.Meta.read_only_fields, "kind"]


class MadeWebHook(WebHookSerializer):
    secret = serializers.CharField(read_only=True, help_text="Shown this once.")

    class Meta(WebHookSerializer.Meta):
        fields = [*WebHookSerializer.Meta.fields, "secret"]


class DeliverySerializer(RowShape[Delivery]):
    """One arrival at a webhook. `origin` is the delivery that this one repeats."""

    deployment = serializers.IntegerField(source="deployment_id", allow_null=True)
    requested_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = Delivery
        fields = [
            "id", "hook", "delivery_id", "event", "ref", "commit", "outcome", "reason", "deployment",
            "received_at", "payload_size", "payload_digest", "excerpt", "origin", "requested_by",
        ]  # fmt: skip
        read_only_fields = fields
