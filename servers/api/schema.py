"""What the OpenAPI schema cannot see in the code."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from servers.api.problems import MEDIA_TYPE

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


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "servers.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of scope api, or read for GET (`mcph_…`).",
        }


def add_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Every operation may answer a problem document."""
    result["components"]["schemas"]["Problem"] = PROBLEM
    problem = {
        "description": "A problem document (RFC 9457).",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for methods in result["paths"].values():
        for operation in methods.values():
            operation["responses"]["default"] = problem
    return result
