"""Restoring one RAW photo (`raw`), one finished picture (`picture`), or many (`jobs`)."""

from undark.restoring.blend import amplify_and_demosaic
from undark.restoring.raw import Restored, restore

__all__ = ["Restored", "amplify_and_demosaic", "restore"]
