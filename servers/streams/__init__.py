"""The live feed: server-sent events that can be resumed.

The database is the truth. What is sent gets a position on its channel, in the order of its commits
and without gaps; a wake-up only says that there is more to read. So nothing is lost or doubled, whatever
happens to the wake-ups: they come from this process at once, from others through Redis where there is one,
and from a look at the positions every second in any case.
"""
