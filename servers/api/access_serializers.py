"""Teams, their members and the audit as JSON."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from access.models import AuditEntry, Membership, Role, Team
from servers.api.strict import RowShape, Shape


class MemberSerializer(RowShape[Membership]):
    user = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
    role = serializers.ChoiceField(choices=Role.choices)

    class Meta:
        model = Membership
        fields = ["user", "role"]


class TeamSerializer(RowShape[Team]):
    members = MemberSerializer(source="memberships", many=True, read_only=True)

    class Meta:
        model = Team
        fields = ["id", "name", "members", "created_at"]
        read_only_fields = ["created_at"]


class NewMember(Shape):
    role = serializers.ChoiceField(choices=Role.choices)


class AuditEntrySerializer(RowShape[AuditEntry]):
    """`target` names what it was done to, also when that is gone; secrets are masked."""

    server = serializers.IntegerField(source="server_id", allow_null=True)
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)

    class Meta:
        model = AuditEntry
        fields = [
            "id", "at", "actor", "via", "token", "address", "action", "target_kind", "target_id", "target",
            "server", "before", "after",
        ]  # fmt: skip
        read_only_fields = fields
