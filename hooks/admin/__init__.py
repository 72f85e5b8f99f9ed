"""Webhooks in the console: a page of each server, and what arrived."""

from hooks.admin import delivery_admin, hook_admin, server_tab

__all__ = ["delivery_admin", "hook_admin", "server_tab"]
