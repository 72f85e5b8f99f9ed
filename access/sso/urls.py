from django.urls import path

from access.sso import views

urlpatterns = [
    path("", views.login, name="sso-login"),
    path("callback/", views.callback, name="sso-callback"),
]
