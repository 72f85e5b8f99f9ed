"""The console's part, below /admin/catalog/."""

from django.contrib import admin
from django.urls import path

from catalog.pages import AddView, UpdateView

app_name = "catalog"
wrapped = admin.site.admin_view
urlpatterns = [
    path("", wrapped(AddView.as_view()), name="add"),
    path("<id:pk>/update/", wrapped(UpdateView.as_view()), name="update"),
]
