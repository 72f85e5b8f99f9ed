"""What npm, pnpm, Yarn, Bun and Node say when an installation or a build fails, and what that means.

The lines are of npm 8 to 11, pnpm 8 to 12, Yarn 1 and 4, Bun 1 and Node 18 to 24.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from hosting.signs import Cause, Words, read, sign

LONGEST = 300  # characters of a sentence
LONGEST_LINE = 500  # characters of a line that are looked at


_sign = partial(sign, any_case=False)
COMMIT = "where the project is developed, and commit the lock."
NETWORK = (
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ECONNRESET|getaddrinfo|fetch failed|socket hang up|download"
)
LOGIN = "Put a token for it into the project's .npmrc, or name a registry that has the package."

# The particular before the general.
SIGNS = (
    # A lock out of step
    _sign(
        r"`npm ci` can only install packages when your package\.json and",
        "The lock of npm is out of step with package.json ({what}).",
        f"Run npm install {COMMIT}",
        more=r"(?P<what>(?:Missing|Invalid): [^\n]{1,200})",
        otherwise="The lock of npm is out of step with package.json.",
    ),
    _sign(
        r"ERR_PNPM_OUTDATED_LOCKFILE|ERR_PNPM_LOCKFILE_CONFIG_MISMATCH|ERR_PNPM_LOCKFILE_MISSING_DEPENDENCY",
        "pnpm-lock.yaml is out of step with package.json: {what}",
        f"Run pnpm install {COMMIT}",
        more=r"(?P<what>specifiers in the lockfile[^\n]{1,260}|\d+ dependenc[^\n]{1,200})",
        otherwise="pnpm-lock.yaml is out of step with package.json, or with the settings of pnpm.",
    ),
    _sign(
        r"ERR_PNPM_LOCKFILE_BREAKING_CHANGE|ERR_PNPM_BROKEN_LOCKFILE",
        "pnpm-lock.yaml was written by another pnpm than the one that is used, or is broken.",
        "Name the pnpm that writes it in packageManager of package.json.",
    ),
    _sign(
        r"Your lockfile needs to be updated, but yarn was run with",
        "yarn.lock is out of step with package.json.",
        f"Run yarn install {COMMIT}",
    ),
    _sign(
        r"YN0028",
        "yarn.lock is out of step with package.json: {what}",
        f"Run yarn install {COMMIT} Where it is in step, name the Yarn that writes it in packageManager.",
        more=r"YN0028: │ (?P<what>[-+] [^\n]{1,200})",
        otherwise="yarn.lock is out of step with package.json.",
    ),
    _sign(
        r"lockfile had changes, but lockfile is frozen",
        "The lock of Bun is out of step with package.json.",
        f"Run bun install {COMMIT}",
    ),
    _sign(
        r"EINTEGRITY|ERR_PNPM_TARBALL_INTEGRITY|Integrity check failed|YN0018",
        "A package is not the one that the lock names: its checksum differs.",
        "Lock it anew if it was published again; otherwise do not trust the registry or the proxy.",
    ),
    # What does not fit together
    _sign(
        r"code ERESOLVE|ERR_PNPM_PEER_DEP_ISSUES",
        "Dependencies ask for versions that do not fit together: {what}.",
        "Change one of them, or put legacy-peer-deps=true into the project's .npmrc.",
        more=r"(?:npm (?:error|ERR!) +)(?P<what>peer (?:\S+ )?\S+@[^\n]{1,200})",
        otherwise="Dependencies ask for versions that do not fit together.",
    ),
    _sign(
        r"code EBADENGINE|ERR_PNPM_UNSUPPORTED_ENGINE|The engine \"node\" is incompatible with this module",
        "A package does not run on this version of Node: {what}.",
        "Set the version of Node for this server, or engines.node in package.json.",
        more=r"(?P<what>(?:Not compatible with your version|Expected version|wanted: )[^\n]{1,150})",
        otherwise="A package does not run on this version of Node.",
    ),
    _sign(
        r"code EBADDEVENGINES|Use \"\w+ install\" for installation",
        "The project allows another package manager than the one that is used.",
        "Name it in packageManager of package.json.",
    ),
    _sign(
        r"EUNSUPPORTEDPROTOCOL|Unsupported URL Type \"workspace:\"|ERR_PNPM_WORKSPACE_PKG_NOT_FOUND",
        "A dependency is a part of a workspace (workspace:) that is not there.",
        "Deploy from the top of the workspace, with the server's directory as its subdirectory.",
    ),
    # The registry
    _sign(
        r"code E40[13]|ENEEDAUTH|ERR_PNPM_FETCH_40[13]|YN0041|401 Unauthorized|403 Forbidden",
        "The package registry wants a login for {what}.",
        LOGIN,
        more=r"(?:GET|PUT) (?P<what>https?://[^\s?:]{1,200})",
        otherwise="The package registry wants a login.",
    ),
    _sign(
        r"code E404|ERR_PNPM_FETCH_404|Couldn't find package|YN0035|ETARGET|No matching version|d to resolve",
        "The package registry has no {what}.",
        f"Check the name and the version. {LOGIN}",
        more=r"(?:'|Couldn't find package \"|version found for |resolve: |: No matching version found for )"
        r"(?P<what>(?:@[\w.-]+/)?[\w.-]+(?:@[^\s'\",]{1,60})?)",
        otherwise="The package registry lacks a package that the project needs.",
    ),
    # Scripts of packages
    _sign(
        r"gyp ERR!|node-gyp|not found: make|make: (?:g\+\+|cc|gcc)",
        "A native module had to be compiled, and could not be: {what}.",
        "Use a version of it that brings binaries for this Node, or an image with python3, make and g++.",
        more=r"gyp ERR! (?:stack (?:Error: )?)(?P<what>[^\n]{1,200})",
        otherwise="A native module had to be compiled, and could not be.",
    ),
    _sign(
        r"command sh -c|ERR_PNPM_LIFECYCLE|YN0009|postinstall[^\n]*(?:fail|exited)",
        "The install script of {what} could not download what it needs.",
        "It reaches past the package registry: check the network, the proxy, and the package's own mirrors.",
        more=r"node_modules/(?P<what>(?:@[\w.-]+/)?[\w.-]+)",
        otherwise="An install script could not download what it needs.",
        also=NETWORK,
    ),
    # Programs and modules
    _sign(
        r"Missing script: \"?(?P<what>[\w:.-]+)",
        "package.json has no script {what}.",
        "Correct what calls it, or set the build and the command.",
    ),
    _sign(
        r"(?:sh|bash)(?:: (?:line )?\d+)?: (?P<what>[\w@./-]+): (?:command )?not found"
        r"|command not found: (?P<other>\S+)",
        "A script calls {what}, which is not installed.",
        "List it in dependencies of package.json: those of development are left out where nothing builds.",
    ),
    _sign(
        r"Cannot find (?:module|package) '(?P<what>[^'\n]{1,200})'",
        "The module {what} is missing, which {where} names.",
        "List it in dependencies of package.json, or build the file that it stands for.",
        more=r"(?:imported from |Require stack:\n(?:npm (?:error|ERR!) )?- )(?P<where>[^\n]{1,200})",
        otherwise="The module {what} is missing.",
    ),
    _sign(
        r"(?P<what>[^\n]{0,200}error TS\d+: [^\n]{1,200})",
        "The TypeScript compiler refuses the source: {what}",
        "Correct the source, or lock the versions that it was written for.",
    ),
    _sign(
        r"(?P<code>EROFS|EACCES|EPERM)[^\n]{0,80}, (?:open|mkdir|unlink|rename) '(?P<what>[^'\n]{1,200})'",
        "The file {what} cannot be written ({code}).",
        "Let it write into its own directory, or into the one that TMPDIR names.",
    ),
)


def find(lines: Iterable[str]) -> Cause | None:
    """None where a tool names no cause that is known here."""
    cause = read(SIGNS, "\n".join(line[:LONGEST_LINE] for line in lines), _named)
    return replace(cause, says=cause.says[:LONGEST]) if cause else None


def _named(named: Words) -> Words:
    return {"what": named.get("other", "a program"), **named}
