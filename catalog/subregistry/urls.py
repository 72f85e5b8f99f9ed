"""URLs below /v0.1/. A name contains a slash, encoded or not: WSGI passes it on decoded."""

from django.urls import re_path

from catalog.subregistry import views

app_name = "subregistry"
NAME = r"servers/(?P<name>[^/]+/[^/]+)/versions"
urlpatterns = [
    re_path(r"^servers/?$", views.ServerList.as_view(), name="servers"),
    re_path(rf"^{NAME}/?$", views.Versions.as_view(), name="versions"),
    re_path(rf"^{NAME}/(?P<version>[^/]+)/?$", views.Version.as_view(), name="version"),
]
