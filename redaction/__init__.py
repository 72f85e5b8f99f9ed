"""Masks secrets in all that is stored or shown: audit, logs, records of calls, errors, output of builds.

`rules` recognises secrets by their name or form; `redactor` also masks known values.
"""
