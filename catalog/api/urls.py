from django.urls import path

from catalog.api import views

app_name = "catalog-api"
urlpatterns = [
    path("preview/", views.PreviewView.as_view(), name="preview"),
    path("import/", views.ImportView.as_view(), name="import"),
    path("search/", views.SearchView.as_view(), name="search"),
    path("servers/<id:pk>/newer/", views.NewerView.as_view(), name="newer"),
    path("servers/<id:pk>/update/", views.UpdateView.as_view(), name="update"),
]
