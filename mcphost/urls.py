"""The addresses of all parts that Django serves."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

admin.autodiscover()
handler400 = "servers.front.files.bad_request"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/catalog/", include("catalog.urls")),
    path("admin/", admin.site.urls),
    path("v0.1/", include("catalog.subregistry.urls")),
    path("api/catalog/", include("catalog.api.urls")),
    path("hooks/", include("hooks.urls")),
    path("login/sso/", include("access.sso.urls")),
    path("api/", include("hooks.api.urls")),
    path("api/", include("api.urls")),
]
