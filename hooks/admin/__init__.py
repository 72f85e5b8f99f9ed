"""Webhooks in the console: a tab of each server, and the pages of deliveries."""

from hooks.admin import delivery_admin, hook_admin, server_tab

__all__ = ["delivery_admin", "hook_admin", "server_tab"]
