"""Pushes images to registries: a library without Django, models or settings, which reports through
callbacks.
"""
