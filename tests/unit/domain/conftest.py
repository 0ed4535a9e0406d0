"""Hypothesis for this folder: how long an example takes is no criterion."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
