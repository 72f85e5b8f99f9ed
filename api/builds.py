"""How a server is built, as JSON: what is set by hand, and the plan that came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.fields import checked
from api.strict import AnyField, Shape
from hosting.sources.plan import ECOSYSTEMS
from servers.models import build_choices


def _text(help_text: str) -> serializers.CharField:
    return serializers.CharField(required=False, allow_blank=True, help_text=help_text)


def _texts(help_text: str = "") -> serializers.ListField:
    return serializers.ListField(child=serializers.CharField(), required=False, help_text=help_text)


class BuildShape(Shape):
    """What is set by hand of how a server is built; a key that is left out is recognised in the source.

    It is replaced as a whole, and holds from the next deployment on. An image takes none of it, a package
    `extras`, `with`, `python` and `node`.
    """

    ecosystem = serializers.ChoiceField(
        choices=list(ECOSYSTEMS),
        required=False,
        allow_blank=True,
        help_text="What a source that is several things is built as.",
    )
    member = _text("The part of a workspace that starts: its directory or its name.")
    extras = _texts("Optional dependencies of a Python project or package, such as cli.")
    groups = _texts("Dependency groups of a Python project besides those that it installs by itself.")
    python = _text("A version of Python or a range: 3.12, or >=3.11,<3.13.")
    node = _text("A version of Node: 22, or 22.11.")
    build = _text("A command line that runs once, after the installation: npm run build.")
    dockerfile = _text("From the top of the source: docker/Dockerfile. Its context is `root`.")
    target = _text("The stage of the Dockerfile to build.")
    arguments = serializers.DictField(
        child=serializers.CharField(allow_blank=True),
        required=False,
        help_text="Build arguments of the Dockerfile. They stay in the image: no secrets.",
    )

    def get_fields(self) -> dict[str, AnyField]:
        """With the two that no attribute can be named: a word of Python's own, and one of the framework's."""
        return {
            "root": _text("Where it is installed, from the top of the source; “.” is the top itself."),
            "with": _texts("Python requirements installed besides, which bound what it brings: mcp<2."),
            **super().get_fields(),
        }


@extend_schema_field(BuildShape)
class BuildField(serializers.Field[Any, Any, Any, Any]):
    """`servers.models.build_choices`; errors name its keys."""

    def to_representation(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return dict(value)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError("Must be an object.")
        return dict(checked(lambda: build_choices.clean(data)))


class PlannedStep(Shape):
    kind = serializers.ChoiceField(choices=["install", "build", "prune"])
    words = serializers.ListField(child=serializers.CharField())


class PlanShape(Shape):
    """How the source became a server. Empty where nothing was built; what is left out was not needed."""

    ecosystem = _text("python, node or dockerfile.")
    member = _text("The part of a workspace that starts, from the root.")
    tool = _text("What the project is kept with: uv, poetry, pnpm, …")
    lock = _text("Its lock, from the root.")
    version = _text("What was asked of Python or Node: a version or a range.")
    dockerfile = _text("From the top of the source.")
    target = _text("The stage of the Dockerfile.")
    command = _texts("What starts the server.")
    extras = _texts()
    groups = _texts()
    tools = _texts("What ran the steps, with the version where it was a certain one.")
    steps = PlannedStep(many=True, required=False)
    why = _texts("What led to it, a sentence each.")
    chosen = serializers.DictField(
        required=False,
        help_text="What was set by hand, by the names of the server's `build`, and `command`; of `arguments` "
        "the names.",
    )

    def get_fields(self) -> dict[str, AnyField]:
        root = _text("Where it was installed, from the top of the source.")
        return {"root": root, **super().get_fields()}
