"""`python -m undark`, and where the `undark` command begins.

Light, so that Ctrl-C is answered while the rest is still being loaded.
"""

import os
import sys


def main() -> None:
    """Run the command line."""
    for name in ("stdout", "stderr"):  # None where the caller closed it
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    try:
        from undark import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
