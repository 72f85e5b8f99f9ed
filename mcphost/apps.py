from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class McpHostConfig(AppConfig):
    name = "mcphost"

    def ready(self) -> None:
        from mcphost import checks  # noqa: F401  (registers them)


class ConsoleConfig(admin_apps.AdminConfig):
    default = False
    default_site = "access.site.ConsoleSite"
