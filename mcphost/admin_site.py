"""Settings of django-unfold: how the console looks and what its sidebar holds."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _logo(request: HttpRequest) -> str:
    return static("mcphost/logo.svg")


def _style(request: HttpRequest) -> str:
    return static("mcphost/console.css")


def _item(title: str, icon: str, name: str, permission: str | None = None) -> dict[str, Any]:
    """Returns an item of the sidebar.

    `permission` names the function that decides who sees it; None: everybody.
    """
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{name}"), "permission": permission}


FOR_ADMINISTRATORS, FOR_WHO_ADDS = "access.site.for_administrators", "access.site.for_who_adds"
CATALOG = {
    "title": "Catalog",
    "icon": "inventory_2",
    "link": reverse_lazy("catalog:add"),
    "permission": FOR_WHO_ADDS,
}
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "MCP Host",
    "SITE_HEADER": "MCP Host",
    "SITE_SUBHEADER": "From source to URL",
    "SITE_ICON": _logo,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _logo}],
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_HISTORY": True,
    "SHOW_BACK_BUTTON": False,
    "BORDER_RADIUS": "6px",
    "STYLES": [_style],
    "DASHBOARD_CALLBACK": "console.dashboard.context",
    "COLORS": {
        "primary": {
            "50": "oklch(96.2% .018 262)",
            "100": "oklch(93% .034 262)",
            "200": "oklch(87% .06 262)",
            "300": "oklch(79% .1 262)",
            "400": "oklch(70% .14 262)",
            "500": "oklch(60% .17 262)",
            "600": "oklch(51% .18 262)",
            "700": "oklch(45% .16 262)",
            "800": "oklch(39% .13 262)",
            "900": "oklch(34% .1 262)",
            "950": "oklch(25% .07 262)",
        }
    },
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    _item("Overview", "dashboard", "index"),
                    _item("Servers", "dns", "servers_server_changelist"),
                    CATALOG,
                    _item("Deployments", "rocket_launch", "servers_deployment_changelist"),
                ]
            },
            {
                "title": "History",
                "separator": True,
                "items": [
                    _item("Events", "timeline", "metrics_usagemetric_changelist"),
                    _item("Logs", "article", "servers_logline_changelist"),
                    _item("Audit", "history", "access_auditentry_changelist"),
                    _item("Webhooks", "webhook", "hooks_delivery_changelist"),
                    _item("Notices", "notifications", "notices_channel_changelist"),
                ],
            },
            {
                "title": "Access",
                "separator": True,
                "items": [
                    _item("Tokens", "key", "servers_token_changelist"),
                    _item("Teams", "groups", "access_team_changelist"),
                    _item("Users", "person", "auth_user_changelist", FOR_ADMINISTRATORS),
                ],
            },
        ],
    },
}
