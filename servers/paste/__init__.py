"""What a README says about starting a server, read into what `servers.intake.take_in` takes.

Nothing is run and nothing is fetched here: `read(text)` is a function of the text.
"""

from servers.paste.reader import read
from servers.paste.reading import Asked, Candidate, Reading
from servers.paste.text import LARGEST

__all__ = ["LARGEST", "Asked", "Candidate", "Reading", "read"]
