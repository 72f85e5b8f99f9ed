"""Wake-ups: what waits for a change of rows looks again at once, in this process and in all others.

A wake-up names a topic, such as a channel of the live feed. It only says that there may be something new. The
rows are the truth, so nothing is lost or done twice if a wake-up is lost, doubled or late. Whoever waits for
one also looks from time to time without.
"""
