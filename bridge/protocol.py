"""The constants of MCP, from protocol.json, which the Node bridge and a page of the console read too.

Versions are in the order of their age, the oldest first. Legacy versions begin with `initialize` and have
sessions. In modern versions each request carries its version, client and capabilities in `params._meta`, and
headers repeat its method and name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Tuple

DOCUMENT: Dict[str, Any] = json.loads(Path(__file__).with_name("protocol.json").read_text("utf-8"))

LEGACY_VERSIONS: Tuple[str, ...] = tuple(DOCUMENT["legacy_versions"])
MODERN_VERSIONS: Tuple[str, ...] = tuple(DOCUMENT["modern_versions"])
PRIMED_VERSIONS: Tuple[str, ...] = tuple(
    DOCUMENT["primed_versions"]
)  # whose clients accept a first event without data
NEWEST_LEGACY = LEGACY_VERSIONS[-1]
FIRST_MODERN, NEWEST_MODERN = MODERN_VERSIONS[0], MODERN_VERSIONS[-1]

_META: Dict[str, str] = DOCUMENT["meta"]
VERSION_KEY = _META["version"]
CAPABILITIES_KEY = _META["capabilities"]
CLIENT_KEY = _META["client"]
SERVER_KEY = _META["server"]
SUBSCRIPTION_KEY = _META["subscription"]

_HEADERS: Dict[str, str] = DOCUMENT["headers"]
VERSION_HEADER = _HEADERS["version"]
METHOD_HEADER = _HEADERS["method"]
NAME_HEADER = _HEADERS["name"]
SESSION_HEADER = _HEADERS["session"]
ARGUMENT_HEADER = _HEADERS["argument"]  # the prefix of these headers

NAMED: Dict[str, str] = DOCUMENT["named"]  # by method: the parameter that the header Mcp-Name repeats

_ERRORS: Dict[str, int] = DOCUMENT["errors"]
PARSE_ERROR = _ERRORS["parse_error"]
INVALID_REQUEST = _ERRORS["invalid_request"]
METHOD_NOT_FOUND = _ERRORS["method_not_found"]
INVALID_PARAMS = _ERRORS["invalid_params"]
INTERNAL_ERROR = _ERRORS["internal_error"]
SERVER_GONE = _ERRORS["server_gone"]  # of the bridge itself: its server has ended
HEADER_MISMATCH = _ERRORS["header_mismatch"]
MISSING_CLIENT_CAPABILITY = _ERRORS["missing_client_capability"]
UNSUPPORTED_VERSION = _ERRORS["unsupported_version"]
REQUEST_CANCELLED = _ERRORS["request_cancelled"]

STATUSES: Dict[int, int] = {_ERRORS[name]: status for name, status in DOCUMENT["statuses"].items()}


def is_modern(version: str) -> bool:
    """Whether a request with this version in its header is modern.

    An unknown version counts as modern: the server then refuses it and names the versions that it supports.
    """
    return version not in LEGACY_VERSIONS
