"""Restoring one RAW photo (`raw`), one finished picture (`picture`), or many (`jobs`)."""

from undark.restoring.raw import Restored, amplify_and_demosaic, restore

__all__ = ["Restored", "amplify_and_demosaic", "restore"]
