"""Documents, packages and questions as JSON.

The docstrings of shapes are descriptions in the OpenAPI schema.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.serializers import ServerSerializer
from api.strict import Shape
from catalog import document, packages, services
from catalog.inputs import Question
from catalog.packages import Option
from catalog.services import Found
from servers.models.server import SLUG


class Where(Shape):
    """Which document: the document itself, its URL, or its name at the registry API."""

    document = serializers.DictField(required=False, help_text="A server.json of schema 2025-12-11.")
    url = serializers.CharField(required=False, max_length=2000, help_text="Of a server.json, over https.")
    name = serializers.CharField(
        required=False, max_length=200, help_text="At CATALOG_REGISTRY_URL, such as io.github.user/weather."
    )
    version = serializers.CharField(required=False, max_length=255, default="latest")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if sum(key in attrs for key in ("document", "url", "name")) != 1:
            raise serializers.ValidationError("Give one of: document, url, name.")
        return attrs

    def found(self) -> Found:
        """Returns the document. Raises `UserError`."""
        given = self.validated_data
        if "document" in given:
            return Found(document.checked(given["document"]))
        if "url" in given:
            return services.fetch(url=given["url"])
        return services.look_up(name=given["name"], version=given["version"])


class Import(Where):
    package = serializers.IntegerField(
        required=False, min_value=0, help_text="Index among the packages; the preselected one without it."
    )
    answers = serializers.DictField(
        required=False, write_only=True, help_text="Question's key to its answer; a list where repeated."
    )
    server_name = serializers.CharField(required=False, max_length=100)
    slug = serializers.CharField(required=False, max_length=48, validators=[SLUG])
    deploy = serializers.BooleanField(default=True)
    build = serializers.DictField(
        required=False, write_only=True,
        help_text="Of its installation beside what the document says, as `build` of a server.",
    )  # fmt: skip

    def validate_answers(self, answers: dict[str, Any]) -> dict[str, Any]:
        for key, value in answers.items():
            words = value if isinstance(value, list) else [value]
            if not all(isinstance(word, str) for word in words):
                raise serializers.ValidationError({key: "Must be text, or a list of texts."})
        return answers


class Imported(ServerSerializer):
    notes = serializers.ListField(
        child=serializers.CharField(), read_only=True, source="origin.notes",
        help_text="What of the words for its launcher was read, and what is left out.",
    )  # fmt: skip

    class Meta(ServerSerializer.Meta):
        fields = [*ServerSerializer.Meta.fields, "notes"]


class Update(Shape):
    answers = serializers.DictField(
        required=False, write_only=True, help_text="In place of the old answers of these keys."
    )
    deploy = serializers.BooleanField(default=True)

    validate_answers = Import.validate_answers


class QuestionShape(Shape):
    key = serializers.CharField()
    place = serializers.ChoiceField(choices=["environment", "runtime", "package"])
    description = serializers.CharField()
    required = serializers.BooleanField()  # type: ignore[assignment]
    secret = serializers.BooleanField()
    repeated = serializers.BooleanField()
    format = serializers.ChoiceField(choices=["string", "number", "boolean", "filepath"])
    default = serializers.CharField()
    placeholder = serializers.CharField()
    choices = serializers.ListField(child=serializers.CharField())


class PackageShape(Shape):
    index = serializers.IntegerField()
    kind = serializers.CharField()
    identifier = serializers.CharField()
    version = serializers.CharField()
    transport = serializers.CharField()
    hostable = serializers.BooleanField()
    why_not = serializers.CharField()
    preselected = serializers.BooleanField()
    notes = serializers.ListField(child=serializers.CharField())
    questions = QuestionShape(many=True)


class RemoteShape(Shape):
    type = serializers.CharField()
    url = serializers.CharField()


class Preview(Shape):
    """What a document says, and what this platform can do with it."""

    name = serializers.CharField()
    version = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()
    digest = serializers.CharField()
    registry = serializers.CharField()
    document_url = serializers.CharField()
    packages = PackageShape(many=True)
    remotes = RemoteShape(many=True)


class Newer(Preview):
    newer = serializers.BooleanField(help_text="False where the server is at the newest version already.")
    current = serializers.CharField()


def preview(found: Found) -> dict[str, Any]:
    """Returns the body of `Preview`."""
    every = services.options(found.document)
    first = packages.preselected(every)
    return {
        "name": found.document["name"],
        "version": found.document["version"],
        "title": found.document.get("title", ""),
        "description": found.document["description"],
        "digest": document.digest(found.document),
        "registry": found.registry,
        "document_url": found.url,
        "packages": [_package(option, option is first) for option in every],
        "remotes": packages.remotes(found.document),
    }


def _package(option: Option, preselected: bool) -> dict[str, Any]:
    return {
        "index": option.index,
        "kind": option.kind,
        "identifier": option.identifier,
        "version": option.version,
        "transport": option.transport,
        "hostable": option.hostable,
        "why_not": option.why_not,
        "preselected": preselected,
        "notes": list(option.notes),
        "questions": [_question(question) for question in option.questions],
    }


def _question(question: Question) -> dict[str, Any]:
    return {
        "key": question.key,
        "place": question.place,
        "description": question.description,
        "required": question.required,
        "secret": question.secret,
        "repeated": question.repeated,
        "format": question.format,
        "default": question.default,
        "placeholder": question.placeholder,
        "choices": list(question.choices),
    }
