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
    # undark's matrix products are small, and made in several threads at once: with threads of their
    # own, which wait for each other, they take ten times as long
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        if _decodes_photos(sys.argv[1:]):
            from undark.files.raw import pool

            pool.start_ahead()
        from undark import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


def _decodes_photos(arguments: list[str]) -> bool:
    """Whether a child process that decodes RAW files can start while the rest is being loaded.

    Not where all that is named and exists are finished pictures.
    """
    if arguments[:1] not in (["restore"], ["burst"]) or "--help" in arguments:
        return False
    from undark.files.suffixes import PICTURE_SUFFIXES

    named = [name.lower() for name in arguments[1:] if os.path.exists(name)]
    return not named or not all(name.endswith(tuple(PICTURE_SUFFIXES)) for name in named)


if __name__ == "__main__":
    main()
