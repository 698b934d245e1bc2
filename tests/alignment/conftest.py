"""Hypothesis without deadlines: on a busy machine a slow example is not a wrong one."""

from hypothesis import settings

settings.register_profile("alignloop", deadline=None)
settings.load_profile("alignloop")
