"""The command line: a file a command; each parses, calls and prints."""

from undark.cli.app import app, main

__all__ = ["app", "main"]
