"""Middleware for every request: unknown hosts, NUL in addresses, and caching of answers."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.shortcuts import render

from api import problems


class KeepNothingMiddleware:
    """Forbids browsers and proxies to cache an answer that does not allow it itself.

    Answers depend on the user, and some hold a secret that is shown only once. Static files and the public
    catalog say how long they may be cached.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.get_response(request)
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer


class NulMiddleware:
    """Refuses addresses with NUL: no name here holds it, and PostgreSQL refuses to search for it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "\x00" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            return problems.answer(400, "The address holds a NUL character.")
        return self.get_response(request)


class UnknownHostMiddleware:
    """Answers requests for an unknown host with a page that names the setting to change."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            request.get_host()
        except DisallowedHost:
            host = request.META.get("HTTP_HOST", "")[:200]
            name = split_domain_port(host)[0] or host
            return render(None, "unknown_host.html", {"host": host, "name": name}, status=400)
        return self.get_response(request)
