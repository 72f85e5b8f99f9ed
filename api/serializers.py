"""Servers and deployments as JSON."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from access.models import Team
from api import enums
from api.builds import BuildField, PlanShape
from api.fields import (
    EnvironmentField,
    PatternsField,
    PlacementField,
    SourceField,
    SourceInput,
    TeamField,
    WordsField,
)
from api.strict import RowShape, Shape
from servers import intake, services, states, validation
from servers.models import Deployment, Run, Server, Step
from servers.models.server import SourceKind
from servers.states import Mode


class StepSerializer(RowShape[Step]):
    class Meta:
        model = Step
        fields = [
            "id", "kind", "platform", "status", "started_at", "finished_at", "error_kind", "error", "details",
        ]  # fmt: skip
        read_only_fields = fields


class RunSerializer(RowShape[Run]):
    """`ready_at` is when it began to serve, null where it did not come that far; `why` says why it ended."""

    number = serializers.IntegerField(
        source="deployment.number", read_only=True, help_text="The deployment's."
    )
    state = serializers.ChoiceField(choices=enums.RUN_STATE, read_only=True)

    class Meta:
        model = Run
        fields = [
            "id", "deployment", "number", "runtime", "state", "began_at", "ready_at", "ended_at", "why",
            "reason",
        ]  # fmt: skip
        read_only_fields = fields


class DeploymentBrief(Shape):
    id = serializers.IntegerField()
    number = serializers.IntegerField()
    status = serializers.ChoiceField(choices=enums.DEPLOYMENT_STATUS)


class DeploymentSerializer(RowShape[Deployment]):
    """`images` maps each platform to its reference, digest and size."""

    url = serializers.HyperlinkedIdentityField(view_name="api:deployment-detail")
    requested_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True, allow_null=True)
    based_on = serializers.SlugRelatedField[Any](slug_field="number", read_only=True, allow_null=True)
    status_label = serializers.SerializerMethodField()
    runtime = serializers.CharField(source="build.runtime", read_only=True)
    platforms = serializers.JSONField(source="build.platforms", read_only=True)
    revision = serializers.CharField(source="build.revision", read_only=True)
    summary = serializers.CharField(source="build.summary", read_only=True)
    image = serializers.CharField(source="build.image", read_only=True)
    digest = serializers.CharField(source="build.digest", read_only=True)
    images = serializers.JSONField(source="build.images", read_only=True)

    class Meta:
        model = Deployment
        fields = [
            "id", "url", "server", "number", "trigger", "requested_by", "mode", "based_on", "status",
            "status_label", "cancel_requested", "error_kind", "error", "runtime", "platforms", "revision",
            "wanted_revision", "summary", "image", "digest", "images", "created_at", "started_at",
            "finished_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_status_label(self, deployment: Deployment) -> str:
        return states.look(deployment.status).label


class DeploymentDetail(DeploymentSerializer):
    plan = serializers.SerializerMethodField()
    steps = StepSerializer(many=True, read_only=True)

    class Meta(DeploymentSerializer.Meta):
        fields = [*DeploymentSerializer.Meta.fields, "plan", "discovery", "tool_changes", "steps"]
        read_only_fields = fields

    @extend_schema_field(PlanShape)
    def get_plan(self, deployment: Deployment) -> dict[str, Any]:
        return dict(deployment.build.plan)


class UsesSerializer(Shape):
    """Of all replicas together, as measured within the last seconds."""

    cpu = serializers.FloatField(help_text="Cores")
    memory_mb = serializers.IntegerField()


class LimitsSerializer(RowShape[Server]):
    class Meta:
        model = Server
        fields = ["cpu", "memory_mb", "pids"]


class ServerSerializer(RowShape[Server]):
    """A server of `payloads.with_newest_deployment`; what is left out of a PUT keeps its value."""

    url = serializers.HyperlinkedIdentityField(view_name="api:server-detail")
    slug = serializers.SlugField(
        required=False, max_length=48, help_text="Part of the MCP URL; made of the name where it is left out."
    )
    owner = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
    team = TeamField(required=False, allow_null=True, slug_field="name")
    mcp_url = serializers.SerializerMethodField()
    source = SourceField()  # type: ignore[assignment]
    command = WordsField(required=False, max_length=100)
    build = BuildField(required=False)
    environment = EnvironmentField(required=False)
    limits = LimitsSerializer(source="*", required=False)
    placement = PlacementField(required=False, help_text="For the runtime kubernetes.")
    tools_allowed = PatternsField(required=False)
    tools_denied = PatternsField(required=False)
    status_label = serializers.SerializerMethodField()
    serving = serializers.SerializerMethodField()
    uses = serializers.SerializerMethodField(help_text="null: nothing serves, or nobody measures it.")
    deployment = serializers.SerializerMethodField()

    class Meta:
        model = Server
        fields = [
            "id", "url", "name", "slug", "owner", "team", "mcp_url", "source", "transport", "port", "path",
            "command", "build", "environment", "limits", "runtime", "placement", "calls_per_minute",
            "tools_allowed", "tools_denied", "record_arguments", "schema_gate", "listed", "desired_state",
            "status", "status_label", "status_at", "error_kind", "error", "serving", "uses", "deployment",
            "restarts",
            "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = [
            "desired_state", "status", "status_at", "error_kind", "error", "restarts", "created_at",
            "updated_at",
        ]  # fmt: skip

    def get_mcp_url(self, server: Server) -> str:
        path = f"/mcp/{server.slug}"
        if settings.PUBLIC_URL:
            return str(settings.PUBLIC_URL) + path
        return str(self.context["request"].build_absolute_uri(path))

    def get_status_label(self, server: Server) -> str:
        return states.look(server.status).label

    @extend_schema_field(DeploymentBrief(allow_null=True))
    def get_serving(self, server: Server) -> dict[str, Any] | None:
        now = server.serving
        return {"id": now.pk, "number": now.number, "status": now.status} if now else None

    @extend_schema_field(UsesSerializer(allow_null=True))
    def get_uses(self, server: Server) -> dict[str, Any] | None:
        run = server.serving.run if server.serving else None
        return run.uses if run else None

    @extend_schema_field(DeploymentBrief(allow_null=True))
    def get_deployment(self, server: Server) -> dict[str, Any] | None:
        return getattr(server, "newest", None)

    def validate_slug(self, slug: str) -> str:
        for validate in Server._meta.get_field("slug").validators:
            validate(slug)
        if self.instance is not None and slug != self.instance.slug:
            raise serializers.ValidationError("The slug is part of the MCP URL: it cannot be changed.")
        if self.instance is None and Server.objects.filter(slug=slug).exists():
            raise serializers.ValidationError("This slug is taken.")
        return slug

    def validate_team(self, team: Team | None) -> Team | None:
        validation.check_team(user=self.context["request"].user, server=self.instance, team=team)
        return team

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Attributes as `services` takes them; the token of a source is left in `token`."""
        source: SourceInput | None = attrs.pop("source", None)
        if source is not None:
            self._check_upload(source)
            attrs |= {"source_kind": source.kind, "token": source.token}
            if source.kind != SourceKind.UPLOAD or self.instance is None:
                attrs["source"] = source.source
            elif source.source:  # said of the archive that is there
                attrs["source"] = {**self.instance.source, **source.source}
        return attrs

    def _check_upload(self, source: SourceInput) -> None:
        if source.kind == SourceKind.UPLOAD and self.instance and self.instance.source_kind != source.kind:
            raise serializers.ValidationError(
                {"source": {"kind": "POST the archive to the server's archive/: that makes it the source."}}
            )


class DroppedSecret(serializers.Serializer[Any]):
    name = serializers.CharField()
    purpose = serializers.CharField()
    origin = serializers.CharField(
        allow_blank=True, help_text="What it was given for: scheme, host and port."
    )


class ChangedServer(ServerSerializer):
    dropped = DroppedSecret(
        many=True, read_only=True,
        help_text="Credentials that this change took away: the source lies elsewhere by now.",
    )  # fmt: skip

    class Meta(ServerSerializer.Meta):
        fields = [*ServerSerializer.Meta.fields, "dropped"]


class NewServer(ServerSerializer):
    secrets = EnvironmentField(
        required=False, write_only=True, help_text="Environment variables that are kept sealed."
    )
    deploy = serializers.BooleanField(default=True, write_only=True)

    class Meta(ServerSerializer.Meta):
        fields = [*ServerSerializer.Meta.fields, "secrets", "deploy"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        attrs.setdefault("slug", intake.free_slug(attrs["name"]))
        attrs.setdefault("transport", services.default_transport(attrs["source_kind"]))
        if attrs["source_kind"] == SourceKind.UPLOAD and attrs["deploy"] and not self.context.get("archive"):
            raise serializers.ValidationError(
                {"source": "Send the archive too (multipart/form-data, part `archive`), or deploy: false."}
            )
        both = sorted(set(attrs.get("secrets", {})) & set(attrs.get("environment", {})))
        if both:
            raise serializers.ValidationError({"secrets": {both[0]: "Set in the environment as well."}})
        return attrs


class Redeploy(Shape):
    mode = serializers.ChoiceField(
        choices=[m.value for m in Mode],
        default=Mode.LATEST.value,
        help_text="latest: the source's head; rebuild: the same revision; no-cache: the same without any "
        "build cache; same-digest: neither builds nor pushes; resume: goes on where the last one failed.",
    )
    refresh_credentials = serializers.BooleanField(
        default=False, help_text="Renew the registry's credentials before anything is pushed."
    )
    platform = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=32,
        source="platform_anew",
        help_text="With resume: build and push this platform anew, and take the others over.",
    )
    push_retries = serializers.IntegerField(
        default=None, allow_null=True, help_text="Attempts of each push of this one deployment."
    )


class RollBack(Shape):
    to = serializers.IntegerField(min_value=1, help_text="Number of an earlier successful deployment.")


def deployment_url(deployment: Deployment, request: Any) -> str:
    return reverse("api:deployment-detail", [deployment.pk], request=request)
