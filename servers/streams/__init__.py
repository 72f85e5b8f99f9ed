"""The live feed: server-sent events that a client can resume.

The database is the truth. Each event gets a position on its channel, without gaps and in the order of the
commits. A wake-up (`servers.wakeups`) only says that there is more to read, so nothing is lost or sent twice
if one is lost or doubled. In any case the positions are read every five seconds.
"""
