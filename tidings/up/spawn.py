"""Becomes another program, bound to its parent's life: `python -I -S spawn.py SIGNAL USER COMMAND...`.

Run as a script, never imported: between fork and exec of a process with threads Python code is not safe, so this runs
after an exec of its own. Standard library only. SIGNAL reaches the program when its parent dies (Linux; elsewhere the
next start cleans up). USER is "-" or whom to become: PostgreSQL refuses to run as root.
"""

import ctypes
import os
import pwd
import sys
from collections.abc import Iterable

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2  # the smaller right, enough here; containers often give root only the larger one
CAPABILITY_VERSION_3 = 0x20080522
EX_PARENT_GONE = 75


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


def become(user: str, libc: ctypes.CDLL) -> None:
    """Drop root for `user`, keeping the one right that a clone in root's own home needs: to walk through closed folders.

    Without the secure bit the kernel would take that right away on the change of user, and ignore it in access(2).
    """
    entry = pwd.getpwnam(user)
    header, sets = _Header(CAPABILITY_VERSION_3, 0), (_Sets * 2)()
    keeps = sys.platform == "linux" and libc.prctl(PR_SET_SECUREBITS, NO_SETUID_FIXUP, 0, 0, 0) == 0
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    if keeps:
        libc.capget(ctypes.byref(header), sets)
        held = [cap for cap in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if sets[0].permitted & 1 << cap]
        only = 1 << held[0] if held else 0
        libc.capset(ctypes.byref(header), (_Sets * 2)(_Sets(only, only, only), _Sets(0, 0, 0)))
        for cap in held[:1]:
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0)


def main(signal: str, user: str, command: Iterable[str]) -> None:
    """Bind, become, exec."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if user != "-":
        become(user, libc)
    if sys.platform == "linux":
        libc.prctl(PR_SET_PDEATHSIG, int(signal), 0, 0, 0)  # after the change of user, which clears it
        if os.getppid() != parent:  # it died before the call above
            raise SystemExit(EX_PARENT_GONE)
    arguments = list(command)
    os.execvp(arguments[0], arguments)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
