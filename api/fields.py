"""Fields that need more than a type check: sources, environments, words. `servers.validation` checks them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import Q, QuerySet
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from access import roles
from access.models import Team
from api import sources
from api.strict import Shape
from servers import validation
from servers.models import placement, tool_patterns
from servers.models.server import SourceKind


@dataclass(frozen=True)
class SourceInput:
    kind: str
    source: dict[str, Any]
    token: str = ""


@extend_schema_field(
    PolymorphicProxySerializer(
        component_name="Source",
        serializers=sources.SHAPES,
        resource_type_field_name="kind",
    )
)
class SourceField(serializers.Field[Any, Any, Any, Any]):
    """`{"kind": …}` with the keys of that kind; see `api.sources`."""

    def get_attribute(self, instance: Any) -> Any:
        return instance

    def to_representation(self, server: Any) -> dict[str, Any]:
        shown = {key: value for key, value in server.source.items() if key != "archive"}
        return {"kind": server.source_kind, **shown}

    def to_internal_value(self, data: Any) -> SourceInput:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError("Must be an object with a kind.")
        kind = data.get("kind")
        if kind not in SourceKind.values:
            raise serializers.ValidationError({"kind": f"Choose one of {', '.join(SourceKind.values)}."})
        given = {key: value for key, value in data.items() if key != "kind"}
        _refuse_unknown(given, sources.KEYS[kind])
        token = _token(given)
        if kind == SourceKind.UPLOAD:  # its archive comes another way
            return SourceInput(kind, checked(lambda: validation.clean_archive_options(given)))
        return SourceInput(kind, checked(lambda: validation.clean_source(kind, given)), token)


def checked(check: Callable[[], Any]) -> Any:
    """The result of `check()`. Turns Django's `ValidationError` into REST framework's."""
    try:
        return check()
    except DjangoValidationError as error:
        raise serializers.ValidationError(serializers.as_serializer_error(error)) from None


def _refuse_unknown(given: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        accepted = ", ".join(sorted(known)) or "none"
        raise serializers.ValidationError(dict.fromkeys(unknown, f"Unknown key; accepted: {accepted}."))


def _token(given: dict[str, Any]) -> str:
    token = given.pop("token", None) or ""
    if not isinstance(token, str) or not token.isprintable() or len(token) > 4096:
        raise serializers.ValidationError({"token": "Must be one line of at most 4096 characters."})
    return token


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
class EnvironmentField(serializers.Field[Any, Any, Any, Any]):
    """Names and values of environment variables. Errors name the variable."""

    def to_representation(self, value: Mapping[str, str]) -> dict[str, str]:
        return dict(value)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError("Must be an object of names and values.")
        for name in data:
            refuse_reserved(str(name))
        return dict(checked(lambda: validation.clean_environment(data)))


def refuse_reserved(name: str) -> None:
    if validation.is_reserved(name):
        raise serializers.ValidationError({name: f"{name} is set by the platform: choose another name."})


class WordsField(serializers.ListField):
    """A command line as a list of words; empty: recognised."""

    child = serializers.CharField(allow_blank=True, trim_whitespace=False, max_length=4096)

    def to_internal_value(self, data: Any) -> list[str]:
        words = super().to_internal_value(data)
        return list(checked(lambda: validation.clean_words(words)))


class VolumeSerializer(Shape):
    size_mb = serializers.IntegerField(default=1024, help_text="MiB.")
    path = serializers.CharField(default="/data", help_text="Where it is mounted.")
    storage_class = serializers.CharField(
        default="", allow_blank=True, help_text="Empty: the cluster's default."
    )


class PlacementShape(Shape):
    """How a server lies on a Kubernetes cluster."""

    replicas = serializers.IntegerField(default=1)
    max_replicas = serializers.IntegerField(
        default=0, help_text="Above the replicas: more pods while their CPU is busy; 0: a fixed number."
    )
    egress = serializers.ListField(
        child=serializers.CharField(),
        default=None,
        allow_null=True,
        help_text="null: everything may be reached; else the networks (CIDR) that may, besides DNS.",
    )
    volume = VolumeSerializer(
        default=None,
        allow_null=True,
        help_text="Kept over deployments, gone with the server. One pod mounts it: replicas must be 1.",
    )
    account_token = serializers.BooleanField(
        default=False,
        help_text="Mount the service account's token, for a server that speaks to Kubernetes. "
        "An administrator of the platform turns it on; who operates the server may turn it off.",
    )


@extend_schema_field(PlacementShape)
class PlacementField(serializers.Field[Any, Any, Any, Any]):
    """`servers.models.placement`; what is left out has its default."""

    def to_representation(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return placement.clean(value)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError("Must be an object.")
        return dict(checked(lambda: placement.clean(data)))


class PatternsField(serializers.ListField):
    """Names of tools, or patterns such as read_*."""

    child = serializers.CharField(trim_whitespace=False)

    def __init__(self, **given: Any) -> None:
        super().__init__(max_length=tool_patterns.MOST, **given)

    def to_internal_value(self, data: Any) -> list[str]:
        patterns: list[str] = super().to_internal_value(data)
        checked(lambda: tool_patterns.validate(patterns))
        return patterns


class TeamField(serializers.SlugRelatedField[Team]):
    """A team by its name. Teams that the asking person neither operates nor finds here are not there."""

    default_error_messages = {"does_not_exist": "There is no team of this name that you operate."}

    def get_queryset(self) -> QuerySet[Team]:
        root: Any = self.root
        here = Q(pk=getattr(root.instance, "team_id", None))
        may = roles.operated_teams(self.context["request"].user)
        return Team.objects.filter(here | Q(pk__in=may.values("pk")))
