"""The restore way: one RAW photo (`raw`), one finished picture (`picture`), many (`jobs`)."""

from undark.restoring.raw import Restored, plain, restore

__all__ = ["Restored", "plain", "restore"]
