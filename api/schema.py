"""Additions to the generated OpenAPI schema: what drf-spectacular cannot find in the code."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema as Generated

from api.doors import Door
from api.problems import MEDIA_TYPE
from api.strict import Strict
from servers.ids import LARGEST

_TEXT = {"type": "string"}
PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "instance": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "pointer", "detail"],
                "properties": {
                    "field": _TEXT,
                    "pointer": {"type": "string", "description": "JSON pointer to the input at fault."},
                    "detail": _TEXT,
                },
            },
        },
        "reference": {"type": "string", "description": "Of an internal error: its name in the log."},
    },
    "example": {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "source.url: A git source needs a URL.",
        "instance": "/api/servers/",
        "errors": [
            {
                "field": "source.url",
                "pointer": "#/source/url",
                "detail": "A git source needs a URL.",
            }
        ],
    },
}


IDS = ("id", "delivery")
ID = {"type": "integer", "minimum": 1, "maximum": LARGEST}
# By status, what it means here. Documents of RFC 9457, all of them.
PROBLEMS = {
    "400": "Something that was sent is not as it must be; `errors` names what.",
    "401": "No token and no session, or one that is not valid.",
    "403": "Your role, or the scope of your token, does not allow it.",
    "404": "It is not there, or not yours to see.",
    "406": "`Accept` names no media type of this operation.",
    "409": "It does not fit the state that things are in.",
    "413": "The body is too large.",
    "415": "The body is of a media type that this operation does not read.",
    "5XX": "The platform failed; `reference` names the entry in its log.",
}


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of scope api, or read for GET (`mcph_…`).",
        }


class AutoSchema(Generated):
    """Adds the query parameters of a `Door`, and `additionalProperties: false` of a `Strict` serializer."""

    def get_override_parameters(self) -> list[Any]:
        asks: list[Any] = super().get_override_parameters()
        if isinstance(self.view, Door):
            doing = getattr(self.view, "action", None) or self.method.lower()
            asks = [*asks, *(parameter.documented() for parameter in self.view.parameters(doing))]
        return asks

    def _get_format_parameters(self) -> list[dict[str, Any]]:
        """None: a `Door` that has a parameter `format` declares it itself."""
        return []

    def _resolve_path_parameters(self, variables: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = super()._resolve_path_parameters(variables)  # type: ignore[no-untyped-call]
        for parameter in found:
            if parameter["name"] in IDS:
                parameter["schema"] = {**ID, "format": "int64"}
        return found

    def _map_basic_serializer(self, serializer: Any, direction: str) -> dict[str, Any]:
        made: dict[str, Any] = super()._map_basic_serializer(  # type: ignore[no-untyped-call]
            serializer, direction
        )
        if direction == "request" and isinstance(serializer, Strict):
            made["additionalProperties"] = False
        return made


def add_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Adds to each operation the problem documents that it may answer. They follow from its method, path,
    body and authentication; a view that may answer another one declares its status with None."""
    result["components"]["schemas"]["Problem"] = PROBLEM
    for path, methods in result["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
            own = [status for status in PROBLEMS if status in answers and "content" not in answers[status]]
            for status in own + [each for each in _refusals(path, method, operation) if each not in answers]:
                answers[status] = _problem(status)
            operation["responses"] = dict(sorted(answers.items()))
    return result


def _refusals(path: str, method: str, operation: dict[str, Any]) -> list[str]:
    changes, entered = method not in ("get", "head"), any(operation.get("security", ()))
    applies = {
        "401": entered,
        "403": entered,
        "404": "{" in path,
        "409": changes,
        "413": changes,
        "415": "requestBody" in operation,
    }
    return [status for status in PROBLEMS if applies.get(status, True)]


def _problem(status: str) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": PROBLEMS[status], "content": content}
