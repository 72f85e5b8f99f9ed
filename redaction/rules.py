"""Recognises secrets by the name of their field, and by their form.

Every expression takes time in proportion to the text: repetitions that could be scanned again are bounded.
"""

from __future__ import annotations

import re

MASK = "***"

_SECRET_NAME = re.compile(
    r"passw|passphrase|passcode|\bpwd\b|secret|token|credential|authorization|cookie|signature|\botp\b|\bpin\b|"
    r"(api|private|access|signing|encryption)[-_ ]?key|session[-_ ]?id",
    re.IGNORECASE,
)

# Forms that only secrets have. Exceptions: `git` in a URL is no secret; `@sha256:` is before a digest;
# `Bearer realm="…"` is a challenge (RFC 9110, 11.6.1).
_USER_OF_URL = re.compile(r"(://)(?!git@)(?:[^/\s@:]*:[^/\s@]+|[^/\s@:?#]+)(?=@(?!sha256:))")
_OURS = re.compile(r"(mcph_)[\w-]{20,}")
_PRIVATE_KEY = re.compile(
    r"()-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_WEB_TOKEN = re.compile(r"()(?:(?<![\w-])eyJ[\w-]+|(?<=-)eyJ[\w-]{1,500})\.[\w-]*(?:\.[\w-]*)?")
# Tokens of services that nothing else looks like.
_OF_ONE_SERVICE = (
    r"gh[pousr]_\w{16,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}\b|AIza[\w-]{30,}|SG\.[\w-]{16,}(?:\.[\w-]+)?"
)
# Words begin as these do: the beginning, and what follows it in a value that stands alone. Within a text a
# digit has to tell them apart.
_LIKE_WORDS = {
    "sk-": r"[\w-]{16,}", "[rs]k_": r"(?:live|test)_\w{10,}", "gsk_": r"\w{16,}", "hf_": "[A-Za-z0-9]{16,}",
    "npm_": r"\w{20,}", "pypi-": r"[\w-]{20,}", "xapp-": r"[\w-]{10,}", r"ya29\.": r"[\w-]{16,}",
    "figd_": r"[\w-]{16,}", "ntn_": "[A-Za-z0-9]{20,}", "lin_api_": r"\w{16,}", "tvly-": r"[\w-]{10,}",
    "pplx-": r"[\w-]{16,}", "dop_v1_": r"\w{20,}", "AGE-SECRET-KEY-": r"\w{16,}",
}  # fmt: skip
_OF_SERVICES = re.compile(
    rf"()\b(?:{_OF_ONE_SERVICE}|(?:pk[-_]|rk-|{'|'.join(_LIKE_WORDS)})(?=[\w-]{{0,64}}\d)[\w-]{{16,}})"
)
_ALONE = re.compile(
    "|".join((
        _OF_ONE_SERVICE,
        *(beginning + rest for beginning, rest in _LIKE_WORDS.items()),
        r"secret_[A-Za-z0-9]{20,}|BSA[\w-]{20,}|fc-[0-9a-f]{16,}|mcph_[\w-]{16,}|eyJ[\w-]{10,}\.[\w-]{10,}",
        r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY|(?i:bearer) [\w.~+/-]{12,}|(?i:basic) [A-Za-z0-9+/=]{12,}",
    ))
)  # fmt: skip
_HEADER = re.compile(r"(authorization\\?[\"']?\s*[=:]\s*\\?[\"']?\w+ +)[^\s\"'\\]+", re.IGNORECASE)
_SCHEME = re.compile(
    r"(\b(?:Basic|Bearer) +)(?!\w+=\\?[\"'])(?=\S{0,200}[\d+/=])[\w.~+/=-]{6,}", re.IGNORECASE
)
# A name, a colon or an equals sign, and a value of eight characters or more. After a colon, an unquoted value
# must have a digit: "invalid_token: authorization failed" is a sentence. `token==1.0.0` is a package, and a
# value before a bracket is code: `token = tokens.read(`.
_NAMED = re.compile(
    r"((?:passw(?:or)?d|passphrase|secret|token|signature|credential|(?<![A-Za-z0-9])_state"
    r"|(?:api|private|access|secret|signing|encryption)[-_]?key)"
    r"(?:\s*=(?!=\d)\s*\\?[\"']?|\\?[\"']\s*:\s*\\?[\"']|\s*:\s*(?=\S{0,200}\d)))"
    r"(?!\*\*\*)(?![A-Za-z]+[._][A-Za-z_.]*[(\[])[\w.~+/=%-]{8,}",
    re.IGNORECASE,
)

_BEGINNINGS = (
    "gh", "glpat-", "xox", "akia", "asia", "aiza", "k-", "k_", "hf_", "npm_", "pypi-", "xapp-", "ya29.",
    "sg.", "figd_", "ntn_", "lin_api_", "tvly-", "pplx-", "dop_v1_", "age-secret-key-",
)  # fmt: skip

# Applied in this order. An expression is tried only if the lowered text contains one of its words, which
# saves time: most lines have none. The text in the first group is kept.
_RULES = (
    (("://",), _USER_OF_URL),
    (("mcph_",), _OURS),
    (("private key",), _PRIVATE_KEY),
    (("eyj",), _WEB_TOKEN),
    (_BEGINNINGS, _OF_SERVICES),
    (("authorization",), _HEADER),
    (("basic", "bearer"), _SCHEME),
    (("passw", "passphrase", "secret", "token", "signature", "credential", "_state", "key"), _NAMED),
)

# Further forms for arguments and results; in other texts they may be ordinary words.
_LOOSE_FORMS = re.compile(
    r"\b(?:sk|pk|rk)[-_][\w-]{16,}|\bnpm_\w{30,}|\bpypi-[\w-]{30,}"
    r"|(?i:(?<=bearer )|(?<=basic ))[\w.~+/=-]{8,}"
)
# A name that contains such a word, a colon or an equals sign, and the whole value.
_LOOSELY_NAMED = re.compile(
    r"(?i)((?<![\w-])[\w-]{0,40}?(?:password|passwd|secret|token|api[-_]?key|authorization|credential)[\w-]{0,40}"
    r"""\\?["']?\s{0,4}[:=]\s{0,4})(\\"(?:[^"\\]|\\[^"])*\\"|"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;&"'}\])]+)"""
)
_JSON_MEMBER = re.compile(
    r'("[^"]*(?:secret|token|passw|api_?key|private_?key|authorization|credential)[^"]*"\s*:\s*)"(?:[^"\\]|\\.)*"?',
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Tells whether the value of a field of this name (in JSON, a variable, a header) is taken
    for a secret.
    """
    return bool(_SECRET_NAME.search(name))


def is_secret_value(text: str) -> bool:
    """Whether a value that stands alone has a form, or begins with one, that tokens and keys have."""
    return bool(_ALONE.search(text))


def without_secrets(text: str) -> str:
    """Masks secrets in the output of a program. Ordinary words, names and causes of errors stay readable."""
    lowered = text.lower()
    for words, form in _RULES:
        if any(word in lowered for word in words):
            text = form.sub(rf"\1{MASK}", text)
    return text


def without_possible_secrets(text: str) -> str:
    """Masks all that may be a secret in arguments and results; it is no loss if an ordinary word is masked.

    Its time grows with the text, so give it a text of bounded length.
    """
    return _LOOSELY_NAMED.sub(rf"\1{MASK}", _LOOSE_FORMS.sub(MASK, without_secrets(text)))


def in_json(text: str) -> str:
    """Masks strings under secret names in JSON, even if the text is cut off. Complete JSON stays valid."""
    return _JSON_MEMBER.sub(rf'\1"{MASK}"', text)
