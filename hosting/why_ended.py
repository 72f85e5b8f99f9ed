"""What servers write before they end, or while they never answer, and what that means."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hosting.last_words import LONGEST
from hosting.signs import Cause, Words, read, sign
from registry.reasons import Reason

# What a program asks of a package in words of another version of it.
OTHER_VERSION = (
    r"(?:ImportError: cannot import name '(?P<import>[^'\x00-\x1f]{1,80})' from '(?P<module>[\w.]{1,80})'"
    r"|AttributeError: (?P<owner>module '(?P<within>[\w.]{1,80})'|type object '\w{1,80}'|'\w{1,80}' object) "
    r"has no attribute '(?P<attribute>\w{1,80})'"
    r"|TypeError: (?P<callee>[\w.]{1,80})\(\) got an unexpected keyword argument '(?P<keyword>\w{1,80})')"
)
ASKS = (
    r"required|requires?|missing|must|please|provided?|pass|unset|undefined|needs?|environment variable|"
    r"set the|(?:not|isn't) (?:set|found|defined|configured|provided|specified|present)"
)
GOES_ON = re.compile(
    r"\b(?:default(?:s|ing)?|optional|fall(?:s|ing)? back|fallback|using|ignor(?:ed|ing))\b", re.I
)
CODE = re.compile(r"(?:throw|raise|return|if|File|at)\b")
# In capitals with a stroke, as variables are and hardly another word; ERR_ is of Node's own codes.
VARIABLE = r"\b(?P<name>(?!ERR_|SSL_|HTTP_)[A-Z][A-Z0-9]{0,40}(?:_[A-Z0-9]{1,40}){1,8})\b"
SET = "Set {name} in the server's environment, as a secret where it is one; then redeploy."
HAVE = (
    "An image gets it from a Dockerfile of the server's, or from the base image of the settings; for "
    "processes it is installed on the workers' machine. Then redeploy."
)
GIVE = "Add it to the arguments of the source, or to the start command; then redeploy."


OLDER_SDK = "mcp<2"  # version 2 of the SDK renamed much; most servers were written before

# The particular before the general.
SIGNS = (
    sign(
        r"ModuleNotFoundError: No module named '(?P<name>[^'\x00-\x1f]{1,120})'",
        "It misses the module {name}.",
        "Declare it as a dependency, or add it in the server's build settings (with: {needed}); then "
        "redeploy.",
        Reason.MISSING_MODULE,
        any_case=False,
    ),
    sign(
        r"Cannot find (?:module|package) '(?P<name>[^'\x00-\x1f]{1,120})'",
        "It misses the module {name}.",
        "Declare it in dependencies of package.json, or have the build make it; then redeploy.",
        Reason.MISSING_MODULE,
        any_case=False,
    ),
    sign(
        OTHER_VERSION,
        "It asks for what the installed packages do not have ({name}).",
        "If it was written for an older version of that package, bound it in the server's build settings "
        "(with: {bound}); then redeploy.",
        Reason.MISSING_MODULE,
        any_case=False,
    ),
    sign(
        r"The requested module '(?P<name>[^'\x00-\x1f]{1,80})' does not provide an export named "
        r"'(?P<export>[\w$]{1,80})'",
        "It asks for what the installed packages do not have ({name}: {export}).",
        "If it was written for an older version of {name}, bound that in package.json, or take another "
        "version of the server; then redeploy.",
        Reason.MISSING_MODULE,
        any_case=False,
    ),
    sign(
        r"(?:Bad (?P<name>git) executable|spawn (?P<spawned>[\w./-]{1,60}) ENOENT|No such file or directory: "
        r"'(?P<file>git|node|npx|npm|uvx?|docker|kubectl|helm|ffmpeg|java|psql|pandoc)')",
        "It needs the program {name}, which is not there.",
        HAVE,
    ),
    sign(
        r"(?P<name>[\w+.-]{1,60}\.so[.\d]{0,12}): cannot open shared object file",
        "It needs the library {name}, which is not there.",
        HAVE,
    ),
    sign(
        r"(?:Executable doesn't exist at|Could not find (?:Chrome|Chromium|browser)|"
        r"(?:Chrome|Chromium|Firefox|browser)\b[^\n]{0,40} (?:is )?not (?:found|installed))",
        "It needs a browser, which is not there.",
        "Build it from a Dockerfile whose image has one; then redeploy.",
    ),
    sign(
        r"^KeyError: '(?P<name>[A-Z][A-Z0-9_]{1,80})'",
        "It asks for the variable {name}.",
        SET,
        Reason.MISCONFIGURED,
        any_case=False,
    ),
    sign(
        rf"^(?=.*\b(?i:{ASKS})\b).*?{VARIABLE}",
        "It asks for the variable {name}.",
        SET,
        Reason.MISCONFIGURED,
        any_case=False,
    ),
    sign(
        r"^(?P<name>[A-Za-z]\w{0,80})\n *Field required \[type=missing",
        "It asks for the setting {name}.",
        "That is usually the environment variable {upper}: set it, as a secret where it is one; then "
        "redeploy.",
        Reason.MISCONFIGURED,
    ),
    sign(
        r"(?:the following (?:required )?arguments (?:are required|were not provided)|"
        r"missing (?:required )?(?:argument|option|parameter)s?|required flag(?:\(s\)|s)?|required options?)"
        r":?\s{1,4}(?P<name>[^\n]{1,120})",
        "It asks for the argument {name}.",
        GIVE,
        Reason.MISCONFIGURED,
    ),
    sign(
        r"\b(?:requires?|required|missing|provide|specify|must|please|need)\b[^\n]{0,80}?\s[\"'`]?"
        r"(?P<name>--[a-z][\w-]{1,60})",
        "It asks for the option {name}.",
        GIVE,
        Reason.MISCONFIGURED,
    ),
    sign(
        r"(?:(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT) |connection to server at \"|Failed to resolve '|"
        r"Cannot connect to host )(?P<name>[\w.:\[\]-]{1,120})",
        "It could not reach {name}.",
        "Check that address, and whether the server can reach it from where it runs; then redeploy.",
    ),
    sign(
        r"(?:Could not|Failed to) download (?P<name>(?:the )?(?:model|browser|data|file|tokenizer)s?)\b",
        "It could not download what it needs ({name}).",
        "Check what it can reach from where it runs, or have a Dockerfile put into its image what it "
        "downloads; then redeploy.",
    ),
)
OF_STDIO = (  # of servers over stdio alone
    sign(
        r"(?<!bridge: )(?:listening|running|available|started|serving|ready)\b[^\n]{0,60}?"
        r"(?:\bport:? |(?:127\.0\.0\.1|localhost|0\.0\.0\.0|\[::1?\]):)(?P<name>\d{2,5})\b",
        "It serves HTTP on port {name}, and is set to speak stdio.",
        "Give it the argument that makes it speak stdio (often --stdio); or set its transport to Streamable "
        "HTTP, with that port and its path. Then redeploy.",
        Reason.MISCONFIGURED,
    ),
)


def why(lines: Sequence[str], *, stdio: bool) -> Cause | None:
    """None where nothing of it is known; of several lines the newest tells.

    `lines` in the order in which they were written.
    """
    kept = [line[:LONGEST] for line in lines if not (CODE.match(line) or GOES_ON.search(line))]
    return read((*SIGNS, *OF_STDIO) if stdio else SIGNS, "\n".join(kept), _named, newest=True)


def _named(told: Words) -> Words:
    named = told.get("name") or told.get("spawned") or told.get("file") or ""
    name = named.strip("\"'`.,:; ") or _lacking(told)
    package = (told.get("module") or told.get("within") or named).partition(".")[0]
    return {
        **told,
        "name": name,
        "upper": name.upper(),
        "needed": OLDER_SDK if package == "mcp" else package,
        "bound": OLDER_SDK if package in ("", "mcp") else f"{package}<VERSION",
    }


def _lacking(told: Words) -> str:
    """Of `OTHER_VERSION`: who lacks what."""
    whose = told.get("module") or told.get("owner") or told.get("callee") or ""
    return f"{whose}: {told.get('import') or told.get('attribute') or told.get('keyword') or ''}"
