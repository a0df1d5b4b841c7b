"""`sagan.progress` by the name under which `loop.py` imports it: another import there would move every run's key."""

from sagan.progress import progress

__all__ = ["progress"]
