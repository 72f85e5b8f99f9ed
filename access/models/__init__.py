"""Teams, who belongs to them in which role, and what was done by whom."""

from access.models.audit import AuditEntry, Via
from access.models.team import Membership, Role, Team

__all__ = ["AuditEntry", "Membership", "Role", "Team", "Via"]
