"""What holds for every request and answer: names that we answer to, no NUL in the address, nothing kept."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.shortcuts import render

from api import problems


class KeepNothingMiddleware:
    """What is not said to be for keeping is not kept, by a browser or by a proxy: answers are somebody's own,
    and some hold a secret that is shown once. Static files and the public catalog say for how long."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.get_response(request)
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer


class NulMiddleware:
    """No name of ours holds NUL, and PostgreSQL refuses to look for it: neither would find anything."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "\x00" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            return problems.answer(400, "The address holds a NUL character.")
        return self.get_response(request)


class UnknownHostMiddleware:
    """A page names the setting to change."""

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
