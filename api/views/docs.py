from __future__ import annotations

from typing import Any

from django.utils.safestring import SafeString
from drf_spectacular.views import SpectacularSwaggerSplitView


class Docs(SpectacularSwaggerSplitView):
    """The page about the API. Its script is given settings of ours as JSON: none come from outside."""

    def _dump(self, data: Any) -> SafeString:
        return SafeString(super()._dump(data))  # type: ignore[no-untyped-call]
