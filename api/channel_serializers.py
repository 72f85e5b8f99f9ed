"""Notice channels and notices as JSON. URLs and secrets go in and never come out."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from rest_framework import serializers

from access.models import Team
from api.strict import RowShape
from notices.models import Channel, Notice
from servers import channels
from servers.models import Server


class Offered(serializers.RelatedField[Any, Any, Any]):
    """What the channel's owner does not see is not there."""

    def get_queryset(self) -> QuerySet[Any]:
        known: Any = getattr(self.root, "instance", None)
        owner = known.owner if isinstance(known, Channel) else self.context["request"].user
        many: Any = self.parent
        return channels.offered(owner)[many.field_name]


class OfferedById(Offered, serializers.PrimaryKeyRelatedField[Any]):
    pass


class OfferedByName(Offered, serializers.SlugRelatedField[Any]):
    pass


class ChannelSerializer(RowShape[Channel]):
    """`url` can be set and replaced, and is shown by its host alone."""

    url = serializers.CharField(write_only=True, max_length=2000)
    owner = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
    servers = OfferedById(
        many=True, required=False, queryset=Server.objects.all(), help_text="For the scope `chosen`."
    )
    teams = OfferedById(
        many=True, required=False, queryset=Team.objects.all(), help_text="And the servers of these teams."
    )
    owners = OfferedByName(
        many=True, required=False, slug_field="username", queryset=User.objects.all(),
        help_text="And the servers of these owners.",
    )  # fmt: skip

    class Meta:
        model = Channel
        fields = [
            "id", "name", "owner", "kind", "url", "host", "scope", "servers", "teams", "owners", "on_failed",
            "on_recovered", "on_held", "enabled", "disabled_reason", "failing_since", "last_ok_at",
            "former_until", "created_at",
        ]  # fmt: skip
        read_only_fields = [
            "host", "disabled_reason", "failing_since", "last_ok_at", "former_until", "created_at",
        ]  # fmt: skip


class MadeChannel(ChannelSerializer):
    secret = serializers.CharField(read_only=True, help_text="Signs notices. Shown this once.")

    class Meta(ChannelSerializer.Meta):
        fields = [*ChannelSerializer.Meta.fields, "secret"]


class ChangedChannel(ChannelSerializer):
    secret = serializers.CharField(
        read_only=True, allow_null=True,
        help_text="A new signing secret, where `url` lies at another scheme, host or port. Shown this once.",
    )  # fmt: skip

    class Meta(ChannelSerializer.Meta):
        fields = [*ChannelSerializer.Meta.fields, "secret"]


class NoticeSerializer(RowShape[Notice]):
    """`payload` is what a generic receiver gets; `due_at` is the next try of one that is on its way."""

    payload = serializers.DictField()

    class Meta:
        model = Notice
        fields = [
            "id", "channel", "message_id", "event", "state", "attempts", "due_at", "last_status",
            "last_answer", "payload", "created_at", "ended_at",
        ]  # fmt: skip
        read_only_fields = fields
