"""The live feed: server-sent events that a client can resume.

The database is the truth. Each event gets a position on its channel, without gaps and in the order of the
commits. A wake-up only says that there is more to read, so nothing is lost or sent twice if one is lost or
doubled. Wake-ups come from this process at once, and from others through Redis if it is set. In any case the
positions are read every second.
"""
