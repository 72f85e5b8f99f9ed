"""Doors: each parses, checks, calls one service, answers."""
