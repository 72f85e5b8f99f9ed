#!/usr/bin/env python
"""Django's command line for MCP Host."""

import os
import sys
from pathlib import Path

from mcphost import bootstrap
from mcphost.env import BadSetting


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mcphost.settings")
    from django.core.management import execute_from_command_line

    from cli import terminal

    terminal.guard("".join(sys.argv[1:2]))
    try:
        " ".join(sys.argv).encode()
    except UnicodeEncodeError as error:
        print(f"An argument is not UTF-8: {ascii(error.object)[1:-1]}", file=sys.stderr)
        return 2
    try:
        if sys.argv[1:2] in (["up"], ["prepare"], ["runserver"]):
            bootstrap.write_missing_keys(Path(__file__).resolve().parent)
        execute_from_command_line(sys.argv)
    except BadSetting as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
