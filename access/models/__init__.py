"""Teams, their members with roles, and the audit."""

from access.models.audit import AuditEntry, Via
from access.models.team import Membership, Role, Team

__all__ = ["AuditEntry", "Membership", "Role", "Team", "Via"]
