from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.contrib import admin
from django.contrib.admin import apps as admin_apps
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks


class ConsoleConfig(AppConfig):
    name = "console"


class SiteConfig(admin_apps.SimpleAdminConfig):
    """Django's admin with our site. `mcphost.urls` loads its pages, so that processes that do not serve them
    (gateway, worker, commands) do not load them."""

    default = False
    default_site = "access.site.ConsoleSite"

    def ready(self) -> None:
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(_check_pages, checks.Tags.admin)


def _check_pages(app_configs: Sequence[AppConfig] | None, **rest: Any) -> list[checks.CheckMessage]:
    admin.autodiscover()
    return check_admin_app(app_configs, **rest)
