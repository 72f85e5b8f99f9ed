from tests.accounts import api, outsider, owner, server, session, staff

__all__ = ["api", "outsider", "owner", "server", "session", "staff"]
