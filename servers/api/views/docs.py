from __future__ import annotations

from typing import Any

from django.utils.safestring import SafeString, mark_safe
from drf_spectacular.views import SpectacularSwaggerSplitView


class Docs(SpectacularSwaggerSplitView):
    """The page about the API. Its script is given settings of ours as JSON: nothing of it comes from outside."""

    def _dump(self, data: Any) -> SafeString:
        return mark_safe(super()._dump(data))  # noqa: S308
