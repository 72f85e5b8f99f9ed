"""Where images go: a library without Django, models or settings; it reports through callbacks."""
