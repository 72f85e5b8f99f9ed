"""The rows of the platform, with querysets whose methods say what they are for."""

from servers.models.build import Build, BuildQuerySet
from servers.models.deployment import Deployment, DeploymentQuerySet, Step
from servers.models.former import FormerServer
from servers.models.in_flight import CallsInFlight
from servers.models.log import LogLine
from servers.models.registry_login import RegistryLogin
from servers.models.run import Run, RunQuerySet
from servers.models.server import Secret, Server, ServerQuerySet
from servers.models.stream import StreamEvent, StreamPosition
from servers.models.token import Token, TokenQuerySet

__all__ = [
    "Build",
    "BuildQuerySet",
    "CallsInFlight",
    "Deployment",
    "DeploymentQuerySet",
    "FormerServer",
    "LogLine",
    "RegistryLogin",
    "Run",
    "RunQuerySet",
    "Secret",
    "Server",
    "ServerQuerySet",
    "Step",
    "StreamEvent",
    "StreamPosition",
    "Token",
    "TokenQuerySet",
]
