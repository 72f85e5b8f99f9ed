"""`/v0.1/servers`: the registry API (2025-12-01), read only. Scripts of any web page may use it (CORS)."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import ValidationError

from api import problems
from api.query import Moment, Number, Parameter
from catalog.subregistry import rows
from catalog.subregistry.document import Hosted, namespace, response
from catalog.subregistry.rows import Unauthenticated, Wanted
from hosting.errors import Invalid
from servers.models import Server

LIMIT, SINCE = Number("limit", low=1, high=100), Moment("updated_since")
FRESH_SECONDS = 60
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-None-Match",
    "Access-Control-Expose-Headers": "ETag",
    "Access-Control-Max-Age": "86400",
}
NOT_FOUND = "Server not found"


@method_decorator(csrf_exempt, name="dispatch")
class RegistryView(View):
    """The base of the views: answers errors as problem documents, and adds CORS headers."""

    http_method_names = ["get", "head", "options"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            answer = super().dispatch(request, *args, **kwargs)
        except Invalid as error:
            answer = refusal(400, str(error))
        except Unauthenticated as error:
            answer = refusal(401, str(error))
            answer["WWW-Authenticate"] = 'Bearer realm="registry"'
        for name, value in CORS.items():
            answer[name] = value
        return answer  # type: ignore[return-value]

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse(status=204)

    @property
    def space(self) -> str:
        """The namespace of this platform's servers."""
        host = settings.PUBLIC_URL.partition("://")[2] or self.request.get_host()
        return settings.CATALOG_NAMESPACE or namespace(host)

    def url_of(self, server: Server) -> str:
        """Returns the server's URL at the gateway."""
        path = f"/mcp/{server.slug}"
        public = settings.PUBLIC_URL
        return f"{public}{path}" if public else self.request.build_absolute_uri(path)

    def answer(self, body: object, *, public: bool) -> HttpResponse:
        """Returns 200, or 304 if the caller has this content already (If-None-Match).

        `public` tells that everybody gets the same answer, so that caches may keep it.
        """
        content = orjson.dumps(body)
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        known = [
            tag.strip().removeprefix("W/") for tag in self.request.headers.get("If-None-Match", "").split(",")
        ]
        same = etag in known or known == ["*"]
        made = HttpResponse(status=304) if same else HttpResponse(content, content_type="application/json")
        made["ETag"] = etag
        made["Cache-Control"] = f"public, max-age={FRESH_SECONDS}" if public else "private, no-cache"
        made["Vary"] = "Authorization, Cookie"
        return made

    def found(self, name: str, version: str = "latest") -> tuple[Hosted | None, bool]:
        """Returns the server of that name and version, None if the caller does not see it, and whether all
        see it.
        """
        servers, public = rows.seen_by(self.request)
        space, _, slug = name.rpartition("/")
        hosted = rows.one(servers, slug, self.url_of) if space == self.space else None
        fits = hosted is not None and version in ("latest", hosted.version)
        return (hosted if fits else None), public


class ServerList(RegistryView):
    """The list of servers."""

    def get(self, request: HttpRequest) -> HttpResponse:
        servers, public = rows.seen_by(request)
        page = rows.page(servers, wanted(request), self.url_of, self.space)
        metadata: dict[str, Any] = {"count": len(page.hosted)}
        if page.next_cursor:
            metadata["nextCursor"] = page.next_cursor
        listed = [response(hosted, self.space) for hosted in page.hosted]
        return self.answer({"servers": listed, "metadata": metadata}, public=public)


class Versions(RegistryView):
    """The versions of a server. There is one: earlier ones cannot be reached any more."""

    def get(self, request: HttpRequest, name: str) -> HttpResponse:
        hosted, public = self.found(name)
        if hosted is None:
            return refusal(404, NOT_FOUND)
        body = {"servers": [response(hosted, self.space)], "metadata": {"count": 1}}
        return self.answer(body, public=public)


class Version(RegistryView):
    """One version of a server."""

    def get(self, request: HttpRequest, name: str, version: str) -> HttpResponse:
        hosted, public = self.found(name, version)
        if hosted is None:
            return refusal(404, NOT_FOUND)
        return self.answer(response(hosted, self.space), public=public)


def wanted(request: HttpRequest) -> Wanted:
    """Reads the parameters of the query. Raises `Invalid`."""
    asked = request.GET
    return Wanted(
        search=asked.get("search", "")[:200],
        version=asked.get("version", "")[:255],
        since=_read(SINCE, asked.get("updated_since", ""), None),
        cursor=asked.get("cursor", "")[:100],
        limit=_read(LIMIT, asked.get("limit", ""), Wanted.limit),
    )


def _read(parameter: Parameter, text: str, default: Any) -> Any:
    """Parses a parameter as the REST API does; an empty one gives the default."""
    try:
        return parameter.read(text) if text else default
    except ValidationError as error:
        (sentence,) = error.detail
        raise Invalid(f"{parameter.name}: {sentence}", field=parameter.name) from None


def refusal(status: int, detail: str) -> HttpResponse:
    """Returns a problem document with the key `error`, which registries use."""
    made = problems.answer(status, detail, error=detail)
    made["Cache-Control"] = "no-store"
    return made
