"""Reads from a pasted text, such as a README, how servers are started: into arguments of `intake.create`.

Nothing is run and nothing is fetched: `read(text)` depends on the text only.
"""

from servers.paste.reader import read
from servers.paste.reading import Asked, Candidate, Reading
from servers.paste.text import LARGEST

__all__ = ["LARGEST", "Asked", "Candidate", "Reading", "read"]
