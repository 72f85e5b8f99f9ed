from django.urls import URLPattern, URLResolver, path, re_path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import SimpleRouter

from api import schema  # noqa: F401  (drf-spectacular finds what is imported)
from api.views import fallback
from api.views.audit import Audit
from api.views.channels import ChannelViewSet, NoticeViewSet
from api.views.deployments import DeploymentViewSet, ServerDeployments, ServerRuns
from api.views.docs import Docs
from api.views.health import HealthView
from api.views.logs import LogDownload, Logs
from api.views.metrics import Metrics
from api.views.paste import Paste
from api.views.registry_logins import OneRegistryLogin, RegistryLogins
from api.views.secrets import OneSecret, Secrets
from api.views.servers import ServerViewSet
from api.views.teams import TeamViewSet
from api.views.tokens import TokenViewSet
from api.views.usage import Usage

app_name = "api"
router = SimpleRouter()
router.register("servers", ServerViewSet, "server")
router.register("deployments", DeploymentViewSet, "deployment")
router.register("tokens", TokenViewSet, "token")
router.register("teams", TeamViewSet, "team")
router.register("channels", ChannelViewSet, "channel")
router.register("notices", NoticeViewSet, "notice")

urlpatterns: list[URLPattern | URLResolver] = [
    *router.urls,
    path("servers/paste/", Paste.as_view(), name="servers-paste"),
    path("servers/stream/", fallback.ServersStream.as_view(), name="servers-stream"),
    path("servers/<id:pk>/deployments/", ServerDeployments.as_view(), name="server-deployments"),
    path("servers/<id:pk>/runs/", ServerRuns.as_view(), name="server-runs"),
    path("servers/<id:pk>/logs/", Logs.as_view(), name="server-logs"),
    path("servers/<id:pk>/logs/download/", LogDownload.as_view(), name="server-logs-download"),
    path("servers/<id:pk>/logs/stream/", fallback.LogsStream.as_view(), name="server-logs-stream"),
    path("servers/<id:pk>/secrets/", Secrets.as_view(), name="server-secrets"),
    path("servers/<id:pk>/secrets/<str:name>/", OneSecret.as_view(), name="server-secret"),
    path("servers/<id:pk>/metrics/", Metrics.as_view(), name="server-metrics"),
    path("servers/<id:pk>/metrics/stream/", fallback.MetricsStream.as_view(), name="server-metrics-stream"),
    path("servers/<id:pk>/usage/", Usage.as_view(), name="server-usage"),
    path("teams/<id:pk>/registry-logins/", RegistryLogins.as_view(), name="team-registry-logins"),
    path("teams/<id:pk>/registry-logins/<str:host>/", OneRegistryLogin.as_view(), name="team-registry-login"),
    path("audit/", Audit.as_view(), name="audit"),
    path("health/", HealthView.as_view(), name="health"),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", Docs.as_view(url_name="api:schema"), name="docs"),
    re_path("", fallback.Nothing.as_view()),
]
