"""URLs below /api/. They must come before those of `api.urls`, which end with a view for all other paths."""

from django.urls import URLPattern, URLResolver, path
from rest_framework.routers import SimpleRouter

from hooks.api.views import HookDeliveries, HookViewSet, Redeliver, ServerHooks

app_name = "hooks-api"
router = SimpleRouter()
router.register("hooks", HookViewSet, "hook")

urlpatterns: list[URLPattern | URLResolver] = [
    *router.urls,
    path("servers/<id:pk>/hooks/", ServerHooks.as_view(), name="server-hooks"),
    path("hooks/<id:pk>/deliveries/", HookDeliveries.as_view(), name="hook-deliveries"),
    path("hooks/<id:pk>/deliveries/<id:delivery>/redeliver/", Redeliver.as_view(), name="hook-redeliver"),
]
