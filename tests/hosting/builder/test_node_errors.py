"""What the tools said, word for word, and what is made of it."""

from __future__ import annotations

import pytest

from hosting.builder import node_errors

PNPM_LOCK = """ ERR_PNPM_OUTDATED_LOCKFILE  Cannot install with "frozen-lockfile" because …
    Failure reason:
    specifiers in the lockfile ({}) don't match specs in package.json ({"is-odd":"3.0.1"})"""
YARN_4_LOCK = """➤ YN0028: │ -    is-odd: "npm:3.0.1"
➤ YN0028: │ The lockfile would have been modified by this install, which is explicitly forbidden."""
NPM_LOCK = """npm error code EUSAGE
npm error `npm ci` can only install packages when your package.json and package-lock.json are in sync.
npm error Missing: is-odd@3.0.1 from lock file
npm error Usage:
npm error [--install-strategy <hoisted|nested|shallow|linked>] [--legacy-bundling]"""
ERESOLVE = """npm error code ERESOLVE
npm error ERESOLVE unable to resolve dependency tree
npm error Could not resolve dependency:
npm error peer react@"^17.0.0" from old-widgets@1.0.0"""
ENGINE = """npm error code EBADENGINE
npm error engine Unsupported engine
npm error engine Not compatible with your version of node/npm: x@1.0.0"""
INSTALL_SCRIPT = """npm error code 1
npm error path /app/node_modules/@scope/browser
npm error command failed
npm error command sh -c node install.mjs
npm error Error: getaddrinfo EAI_AGAIN storage.example.com"""
E404 = """npm error code E404
npm error 404 Not Found - GET https://registry.example.com/@acme%2fprivate - Not found
npm error 404  '@acme/private@1.0.0' is not in this registry."""
E401 = """npm error code E401
npm error 401 Unauthorized - GET https://npm.example.com/@acme%2fprivate"""
MODULE = """Error: Cannot find module 'express'
Require stack:
- /app/index.js"""
MODULE_ESM = "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'zod' imported from /app/dist/index.js"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (NPM_LOCK, "out of step with package.json (Missing: is-odd@3.0.1 from lock file)"),
        (PNPM_LOCK, "pnpm-lock.yaml is out of step with package.json: specifiers in the lockfile ({})"),
        (
            "error Your lockfile needs to be updated, but yarn was run with `--frozen-lockfile`.",
            "yarn.lock is out of step with package.json.",
        ),
        (YARN_4_LOCK, 'yarn.lock is out of step with package.json: -    is-odd: "npm:3.0.1"'),
        ("error: lockfile had changes, but lockfile is frozen", "The lock of Bun is out of step"),
        (ERESOLVE, 'do not fit together: peer react@"^17.0.0" from old-widgets@1.0.0.'),
        (
            ENGINE,
            "does not run on this version of Node: Not compatible with your version of node/npm: x@1.0.0",
        ),
        (INSTALL_SCRIPT, "The install script of @scope/browser could not download what it needs."),
        (E404, "The package registry has no @acme/private@1.0.0."),
        (E401, "wants a login for https://npm.example.com/@acme%2fprivate."),
        (MODULE, "The module express is missing, which /app/index.js names."),
        (MODULE_ESM, "The module zod is missing, which /app/dist/index.js names."),
        ("sh: 1: husky: not found", "A script calls husky, which is not installed."),
        ("src/x.ts(1,7): error TS2322: Type 'string' is not assignable", "src/x.ts(1,7): error TS2322"),
        (
            "Error: EROFS: read-only file system, open '/app/notes.db'",
            "The file /app/notes.db cannot be written (EROFS).",
        ),
        ('npm error Missing script: "serve"', "package.json has no script serve."),
    ],
)
def test_the_cause_is_named(said: str, sentence: str) -> None:
    found = node_errors.find(said.splitlines())

    assert found
    assert sentence in found.says
    assert found.hint


def test_what_is_not_known_is_left_to_others() -> None:
    assert node_errors.find(["added 1 package in 3s", "the reason"]) is None
