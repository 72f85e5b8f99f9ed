"""The keys of each kind of source, as the OpenAPI schema shows them. `servers.validation` checks them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.strict import Shape


class GitSource(Shape):
    kind = serializers.ChoiceField(choices=["git"])
    url = serializers.CharField(help_text="https://host/owner/repository.git or git@host:path; no password.")
    ref = serializers.CharField(required=False, help_text="Branch, tag or commit; empty: the default branch.")
    subdirectory = serializers.CharField(required=False)
    token = serializers.CharField(
        required=False,
        write_only=True,
        help_text="A password, or user:password. Kept sealed, and "
        "dropped with another scheme, host or port in `url`.",
    )


class ImageSource(Shape):
    kind = serializers.ChoiceField(choices=["image"])
    reference = serializers.CharField(help_text="registry.example.org/team/server:1.2")
    arguments = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Follow its ENTRYPOINT, in place of its CMD."
    )


class PackageSource(Shape):
    kind = serializers.ChoiceField(choices=["package"])
    ecosystem = serializers.ChoiceField(choices=["pypi", "npm"])
    name = serializers.CharField(help_text="Extras of a package from PyPI may follow: mcp[cli].")
    version = serializers.CharField(required=False, help_text="Empty: the newest.")
    command = serializers.CharField(required=False, help_text="Empty: the package's own.")
    arguments = serializers.ListField(child=serializers.CharField(), required=False)


class UploadSource(Shape):
    kind = serializers.ChoiceField(choices=["upload"])
    filename = serializers.CharField(read_only=True)
    sha256 = serializers.CharField(read_only=True)
    size = serializers.IntegerField(read_only=True, help_text="Bytes.")
    subdirectory = serializers.CharField(
        required=False, help_text="Where in the archive the server is; empty: its top."
    )


def _given(shape: type[serializers.Serializer[Any]]) -> frozenset[str]:
    fields = shape().fields.items()
    return frozenset(name for name, field in fields if name != "kind" and not field.read_only)


SHAPES: dict[str, serializers.Serializer[Any] | type[serializers.Serializer[Any]]] = {
    "git": GitSource,
    "image": ImageSource,
    "package": PackageSource,
    "upload": UploadSource,
}
KEYS = {kind: _given(shape) for kind, shape in SHAPES.items() if isinstance(shape, type)}
