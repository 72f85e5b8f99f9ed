"""Teams, their members, their registry logins and the audit as JSON."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from access.models import AuditEntry, Membership, Role, Team
from api.strict import RowShape, Shape
from servers import registry_logins
from servers.models import RegistryLogin


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


class RegistryLoginSerializer(RowShape[RegistryLogin]):
    updated_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = RegistryLogin
        fields = ["host", "username", "updated_at", "updated_by"]
        read_only_fields = fields


class GivenLogin(Shape):
    username = serializers.RegexField(
        r"^[^:\x00-\x1f\x7f]+\Z",
        max_length=255,
        error_messages={"invalid": "Must be printable, without a colon."},
    )
    password = serializers.CharField(
        write_only=True,
        trim_whitespace=False,
        max_length=registry_logins.LONGEST,
        help_text="Or an access token. Kept sealed: it is not shown again.",
    )


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
