from django.apps import AppConfig


class McpHostConfig(AppConfig):
    name = "mcphost"

    def ready(self) -> None:
        from mcphost import checks  # noqa: F401  (registers them)
