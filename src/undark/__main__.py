"""`python -m undark` is `undark`."""

from undark.cli import main

main()
