"""Takes secrets out of what is kept or shown: audit, logs, records of calls, errors, output of builds.

`rules` says what a secret looks like; `redactor` also knows the values of those that must not appear.
"""
