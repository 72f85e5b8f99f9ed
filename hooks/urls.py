from django.urls import path

from hooks.views import Receive

urlpatterns = [path("<str:public_id>/", Receive.as_view(), name="hook")]
