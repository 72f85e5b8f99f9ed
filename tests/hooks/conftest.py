from tests.accounts import api, outsider, owner, server, session, staff, team, teammate, viewer

__all__ = ["api", "outsider", "owner", "server", "session", "staff", "team", "teammate", "viewer"]
