"""Tells which values are placeholders, secrets, or paths of the user's own machine."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Literal
from urllib.parse import urlsplit

from redaction.rules import is_secret_value

LONGEST_LOOKED_AT = 4096
_WHOLE = re.compile(
    r"<[^<>]{0,200}>|\$\{[^{}]{0,200}\}|\$\([^()]{0,200}\)|`[^`]{0,200}`|\$\{?[A-Za-z_][A-Za-z0-9_.:]{0,127}\}?"
    r"|%[A-Za-z_]\w{0,127}%|\{\{[^{}]{0,200}\}\}|\{[A-Za-z_][\w .:-]{0,80}\}|\[[A-Za-z][A-Za-z _-]{2,80}\]"
    r"|(?:\.{3}|…|[xX*•_-]{3,}|0{6,})"
)
_PART = re.compile(
    r"<[A-Za-z][^<>]{0,200}>|\$\{[^{}]{1,200}\}|\{\{[^{}]{1,200}\}\}|\.\.\.|…|x{4,}|X{4,}|\*{3,}"
)
# Words to the reader. Only in short values, because a long prompt may contain "your" as well.
LONGEST_WORDS = 120
_WORDS = re.compile(
    r"(?:\A|[^a-z])your(?:\Z|[^a-z])|\Ayour[a-z]"
    r"|(?:\A|[^a-z])my[_ -][a-z_ -]{0,40}(?:key|token|secret|password)"
    r"|(?:\A|[^a-z])(?:replace|change|insert|enter|put|paste)[_ -]?(?:me|this|it|with|here|the)(?:\Z|[^a-z])"
    r"|[_ -]here\Z|(?:\A|[^a-z])(?:placeholder|changeme|todo|tbd|dummy|fake|redacted|xxx)(?:\Z|[^a-z])"
)
# Narrower than the rule of `redaction`: here a wrong match would hide a plain setting.
_SECRET_NAME = re.compile(
    r"api_?key|token|secret|passw(?:or)?d|passphrase|credential|private_?key|bearer|access_?key|connection_?string"
    r"|(?:\A|[_-])(?:key|keys|pat|pwd|pass|auth|dsn|jwt|cookie|cookies|sid|webhook)(?:\Z|[_-]|[0-9])"
)
# Names of settings about secrets, such as TOKEN_URL, AUTH_MODE, MAX_TOKENS.
_ABOUT_SECRETS = re.compile(
    r"(?<!webhook)_(?:url|uri|endpoint|host|port|file|path|dir|name|names|type|mode|method|header|prefix|format|limit|"
    r"count|size|length|ttl|timeout|expiry|expires|seconds|minutes|enabled|required|issuer|audience|scope|scopes|id|"
    r"algorithm|provider|backend|region|version)\Z|(?:\A|_)(?:max|min|num|use|enable|disable|require|no)_"
)
_SAMPLE_PASSWORDS = {
    "password", "pass", "passwd", "pwd", "secret", "mypassword", "user", "admin", "root", "postgres",
    "example", "test", "changeme", "1234", "12345",
}  # fmt: skip
_HOME = re.compile(
    r"(?:/Users/|/home/|/path/|/absolute/|/full/|/your/|/mnt/|/Volumes/|/private/|~[/\\]|~\Z|[A-Za-z]:[\\/]|\\\\"
    r"|\$\{?(?:HOME|PWD|env:HOME|workspaceFolder|userHome)\}?|%(?:USERPROFILE|APPDATA|LOCALAPPDATA)%|\.\.?[\\/]"
    r"|/tmp/|/opt/|/var/run/|/root/|/etc/|\$\(pwd\)|path[\\/]to[\\/])"
)
_LOCAL = re.compile(
    r"(?:\A|[/@=,]|[^\w.-])(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\]|host\.docker\.internal)(?=\Z|[:/,?])"
)
Kind = Literal["plain", "placeholder", "secret"]


def kind_of(name: str, value: str) -> Kind:
    """Returns the kind of a value that belongs to a variable or option with this name."""
    if is_placeholder(value, secret=names_secret(name)):
        return "placeholder"
    return "secret" if is_secret(name, value) else "plain"


def is_placeholder(value: str, *, secret: bool = False) -> bool:
    """Tells whether a value has to be filled in.

    `secret`: a secret belongs there, so a simple value is a sample.
    """
    text = value.strip()[:LONGEST_LOOKED_AT]
    if not text or _WHOLE.fullmatch(text) or _PART.search(text) or _sample_login(text):
        return True
    if len(text) <= LONGEST_WORDS and _WORDS.search(text.lower()):
        return True
    is_flag = text.lower() in _FLAGS
    return secret and not is_flag and (len(text) < 8 or len(set(text)) < 4 or _counts_up(text))


def is_secret(name: str, value: str) -> bool:
    """Tells whether a value is a secret, by its name and its form; by its form alone if the name is ""."""
    text = value.strip()[:LONGEST_LOOKED_AT]
    if is_secret_value(text) or _holds_password(text):
        return True
    if text.lower() in _FLAGS:
        return False
    if names_secret(name):
        return not is_own_path(text) and not _is_plain_url(text)
    return _is_random(text)


def names_secret(name: str) -> bool:
    """Tells whether a value with this name is likely to be a secret."""
    snake = _snake(name)[:256]
    return bool(_SECRET_NAME.search(snake)) and not _ABOUT_SECRETS.search(snake)


def is_own_path(value: str) -> bool:
    """Tells whether it is a path that only the user's own machine has."""
    return bool(_HOME.match(value.strip()))


def is_local_address(value: str) -> bool:
    """Tells whether the value contains an address of the user's own machine, such as localhost."""
    return bool(_LOCAL.search(value[:LONGEST_LOOKED_AT]))


_FLAGS = {
    "true", "false", "yes", "no", "on", "off", "none", "null", "default", "auto", "enabled", "disabled",
}  # fmt: skip


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.lstrip("-")).lower().replace("-", "_")


def _counts_up(text: str) -> bool:
    return text.lower() in "abcdefghijklmnopqrstuvwxyz0123456789" or text in "12345678901234567890"


def _login_of(text: str) -> str | None:
    """Returns the password in a URL, or None."""
    if "://" not in text:
        return None
    try:
        return urlsplit(text).password
    except ValueError:
        return None


def _holds_password(text: str) -> bool:
    return bool(_login_of(text))


def _sample_login(text: str) -> bool:
    password = _login_of(text)
    return password is not None and password.strip("<>[]").lower() in _SAMPLE_PASSWORDS


def _is_plain_url(text: str) -> bool:
    return "://" in text and not _holds_password(text) and "webhook" not in text and "hooks." not in text


def _is_random(text: str) -> bool:
    """Tells whether it is a long text of letters and digits with few repetitions, which nobody would type."""
    if not re.fullmatch(r"[A-Za-z0-9_+=-]{28,}", text) or not re.search("[0-9]", text):
        return False
    counts = Counter(text)
    entropy = -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
    return entropy > 3.5 and len(re.findall("[0-9]", text)) >= 4 and not re.search(r"[a-z]{7,}", text)
