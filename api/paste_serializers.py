"""What is read of a pasted text, as JSON. Values that look like secrets are never among it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field
from rest_framework import serializers

from api.strict import Shape
from servers import paste
from servers.paste import Candidate, Reading

_OBJECT = {"type": "object", "additionalProperties": True, "nullable": True}


class Pasted(Shape):
    text = serializers.CharField(
        max_length=paste.LARGEST,
        trim_whitespace=False,
        help_text="A command, a block of mcpServers, a `claude mcp add` line, a repository, a package …",
    )


@extend_schema_field(_OBJECT)
class AnyObject(serializers.DictField):
    """A body for another operation."""


class AskedShape(Shape):
    name = serializers.CharField(help_text="Of the environment variable.")
    secret = serializers.BooleanField()
    required = serializers.BooleanField()  # type: ignore[assignment]
    given = serializers.BooleanField(
        help_text="A value stood in the text. It is not sent back: send it again."
    )
    description = serializers.CharField()


class ReadServer(Shape):
    name = serializers.CharField(help_text="No other of this reading has it.")
    hostable = serializers.BooleanField()
    why_not = serializers.CharField(help_text="Empty where it can be hosted.")
    server = AnyObject(
        allow_null=True,
        help_text="The body for POST /api/servers/, but for `secrets`; null where there is none.",
    )
    document = AnyObject(
        allow_null=True,
        help_text="Of a server.json: the body for POST /api/catalog/preview/ and /api/catalog/import/.",
    )
    asks = AskedShape(many=True)
    placeholders = serializers.ListField(
        child=serializers.CharField(), help_text="Among the arguments: write what belongs in their places."
    )
    token_given = serializers.BooleanField(help_text="The URL held a login: send it as `source.token`.")
    read = serializers.ListField(
        child=serializers.CharField(), help_text="What was understood, in sentences."
    )
    unknown = serializers.ListField(child=serializers.CharField(), help_text="What was left out, and why.")


class ReadText(Shape):
    """Servers that a text describes. Nothing was run, fetched or made."""

    servers = ReadServer(many=True)
    notes = serializers.ListField(child=serializers.CharField())


def reading(found: Reading) -> dict[str, Any]:
    return {"servers": [_server(each) for each in found.candidates], "notes": list(found.notes)}


def _server(candidate: Candidate) -> dict[str, Any]:
    is_document = candidate.kind == "document"
    return {
        "name": candidate.name,
        "hostable": candidate.hostable,
        "why_not": candidate.why_not,
        "server": _body(candidate) if candidate.hostable and not is_document else None,
        "document": dict(candidate.source) if is_document else None,
        "asks": [*_sealed(candidate), *_asked(candidate)],
        "placeholders": list(candidate.gaps),
        "token_given": bool(candidate.token),
        "read": list(candidate.read),
        "unknown": list(candidate.unknown),
    }


def _body(candidate: Candidate) -> dict[str, Any]:
    fields = candidate.fields()
    kind, source = fields.pop("source_kind"), fields.pop("source")
    return {**fields, "source": {"kind": kind, **_known(source)}}


def _known(source: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in source.items() if value not in ("", [])}


def _sealed(candidate: Candidate) -> list[dict[str, Any]]:
    told = {"secret": True, "required": True, "given": True, "description": ""}
    return [{"name": name, **told} for name in candidate.sealed]


def _asked(candidate: Candidate) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "secret": each.secret, "required": each.required, "given": False,
         "description": each.description}
        for each in candidate.asked
    ]  # fmt: skip


EXAMPLES = [
    OpenApiExample(
        "A block of mcpServers",
        request_only=True,
        value={
            "text": '{"mcpServers": {"weather": {"command": "npx", "args": ["-y", "@example/weather-mcp"], '
            '"env": {"WEATHER_API_KEY": "<YOUR_KEY>"}}}}'
        },
    ),
    OpenApiExample(
        "What was read of it",
        response_only=True,
        value={
            "servers": [
                {
                    "name": "weather",
                    "hostable": True,
                    "why_not": "",
                    "server": {
                        "name": "weather",
                        "source": {"kind": "package", "ecosystem": "npm", "name": "@example/weather-mcp"},
                    },
                    "document": None,
                    "asks": [
                        {"name": "WEATHER_API_KEY", "secret": True, "required": True, "given": False,
                         "description": ""}
                    ],
                    "placeholders": [],
                    "token_given": False,
                    "read": ["Package @example/weather-mcp of npm, the newest version."],
                    "unknown": [],
                }
            ],
            "notes": [],
        },
    ),
]  # fmt: skip
