from django.apps import AppConfig
from django.urls import register_converter

from servers.ids import IdConverter


class ServersConfig(AppConfig):
    name = "servers"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        register_converter(IdConverter, "id")
