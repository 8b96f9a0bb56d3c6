"""End this process at the first socket that could leave the machine, opened by whatever code.

Python's audit hooks see only what Python opens; a seccomp filter (Linux 3.5, x86-64) sees native
libraries too: `socket()` of the families AF_INET, AF_INET6 and AF_NETLINK, which a look-up of a
host begins with, ends the process with SIGSYS.
"""

import ctypes
import platform
import sys

SUPPORTED = sys.platform == "linux" and platform.machine() == "x86_64"

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF instructions
_SOCKET = 41  # the system call's number on x86-64
_NUMBER, _FAMILY = 0, 16  # offsets in `struct seccomp_data`
_KILL, _ALLOW = 0x80000000, 0x7FFF0000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER_MODE = 38, 22, 2


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("if_true", ctypes.c_ubyte),
        ("if_false", ctypes.c_ubyte),
        ("value", ctypes.c_uint),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("start", ctypes.POINTER(_Instruction)))


def forbid() -> None:
    """From here on, in this process and its children. Raises `OSError` where it is refused."""
    families = (2, 10, 16)
    code = [(_LOAD, 0, 0, _NUMBER), (_EQUAL, 0, len(families) + 1, _SOCKET)]
    code += [(_LOAD, 0, 0, _FAMILY)]
    code += [(_EQUAL, len(families) - i, 0, family) for i, family in enumerate(families)]
    code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _KILL)]
    instructions = (_Instruction * len(code))(*(_Instruction(*one) for one in code))
    program = _Program(len(code), instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "no seccomp filter can be set here")
