"""Run as a program under the settings of a platform behind a TLS proxy; prints what a browser would see."""

from __future__ import annotations

import json
from typing import Any

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402

LOGIN = "/admin/login/"
HERE = {"HTTP_HOST": "mcp.example.org", "HTTP_X_FORWARDED_PROTO": "https"}


def cookie(answer: Any, name: str) -> dict[str, Any]:
    found = answer.cookies[name]
    return {key: found[key] for key in ("secure", "httponly", "samesite")}


def main() -> None:
    setup_test_environment()
    call_command("migrate", verbosity=0)
    User.objects.create_user("ada", password="a-long-word-of-ada")
    browser = Client(enforce_csrf_checks=True)
    page = browser.get(LOGIN, **HERE)
    form = {
        "username": "ada", "password": "a-long-word-of-ada",
        "csrfmiddlewaretoken": browser.cookies["mcphost_csrf"].value,
    }  # fmt: skip
    codes = {}
    for origin in ("https://evil.example.org", "http://mcp.example.org", "null", "https://mcp.example.org"):
        answer = browser.post(LOGIN, form, HTTP_ORIGIN=origin, **HERE)
        codes[origin] = answer.status_code
    plain = Client().get(LOGIN, HTTP_HOST="mcp.example.org")
    said = {
        "csrf": cookie(page, "mcphost_csrf"),
        "session": cookie(answer, "mcphost_session"),
        "hsts": page["Strict-Transport-Security"],
        "codes": codes,
        "plain": [plain.status_code, plain["Location"]],
        "users": User.objects.exclude(username="ada").count(),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
