"""For processes that tests start."""

import signal


def answer_ctrl_c():
    """Processes that a shell starts in the background ignore Ctrl-C, and so do their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
