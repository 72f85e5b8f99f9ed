"""`python -m mcphost.healthcheck 3000 9100` exits with 0 if the process that listens there is ready.

It is for a container's HEALTHCHECK, and does not use Django, because it runs every few seconds. Processes
with doors listen on the first port, others on the second.
"""

from __future__ import annotations

import http.client
import sys
from collections.abc import Sequence

TIMEOUT = 5.0


def fault(port: int) -> str | None:
    """Returns why the process is not ready; "" if it is ready, None if nothing listens."""
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        asked.request("GET", "/readyz")
        answer = asked.getresponse()
        return "" if answer.status == 200 else answer.read(1000).decode(errors="replace").strip()
    except ConnectionRefusedError:
        return None
    except (OSError, http.client.HTTPException) as error:
        return f"port {port}: {error or type(error).__name__}"
    finally:
        asked.close()


def main(ports: Sequence[str]) -> int:
    """Returns the exit code, and prints why the process is not ready."""
    found = [said for port in ports if int(port) and (said := fault(int(port))) is not None]
    complaint = found[0] if found else f"nothing listens on {' or '.join(ports)}"
    if complaint:
        print(complaint)
    return 1 if complaint else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
