"""A filter of system calls (seccomp) that leaves a program nothing but computing, reading files and its open pipes.

No process and no thread is started, no signal sent, no socket opened, and no file created, changed or removed. The
filter needs no privileges, holds for whatever the process becomes, and cannot be taken off. Calls that are newer than
the filter do not exist for the program, so what a later kernel adds is not a hole.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from typing import NamedTuple

from o1kit.tasks.graders.landlock import hide_files

_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER_MODE, _DROP_CAPABILITY, _DUMPABLE, _DEATH_SIGNAL = 38, 22, 2, 24, 4, 1
_LAST_CAPABILITY = 63
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE = 0, 4
_WRITES = 0o3 | 0o100 | 0o1000 | 0o20000000
"""Flags of open: write only, read and write, create, truncate, temporary file."""
_SENDS_SIGNALS = 0x8
"""The bit of F_SETOWN, F_SETSIG and F_SETOWN_EX, by which a pipe sends any signal to anyone."""
_NEW_FROM = 424
"""From here on numbers are the same everywhere: io_uring, clone3, mounts, pidfd, openat2, ..."""
_NEW_ALLOWED = (436, 439)
"""close_range and faccessat2."""


_DENIED = """
clone:56:220 fork:57: vfork:58: unshare:272:97 setns:308:268
kill:62:129 tkill:200:130 tgkill:234:131 rt_sigqueueinfo:129:138 rt_tgsigqueueinfo:297:240 ptrace:101:117
process_vm_readv:310:270 process_vm_writev:311:271
socket:41:198 connect:42:203 bind:49:200 listen:50:201
truncate:76:45 ftruncate:77:46 fallocate:285:47 creat:85: mknod:133: mknodat:259:33 mkdir:83: mkdirat:258:34
rmdir:84:
unlink:87: unlinkat:263:35 rename:82: renameat:264:38 renameat2:316:276 link:86: linkat:265:37 symlink:88:
symlinkat:266:36
chmod:90: fchmod:91:52 fchmodat:268:53 chown:92: fchown:93:55 lchown:94: fchownat:260:54 utime:132: utimes:235:
futimesat:261: utimensat:280:88
setxattr:188:5 lsetxattr:189:6 fsetxattr:190:7 removexattr:197:14 lremovexattr:198:15 fremovexattr:199:16
mount:165:40 umount2:166:39 pivot_root:155:41 chroot:161:51 swapon:167:224 swapoff:168:225 reboot:169:142
sethostname:170:161 setdomainname:171:162 init_module:175:105 finit_module:313:273 delete_module:176:106
kexec_load:246:104
shmget:29:194 semget:64:190 msgget:68:186 mq_open:240:180 memfd_create:319:279 bpf:321:280
perf_event_open:298:241 userfaultfd:323:282 add_key:248:217 request_key:249:218 keyctl:250:219
setrlimit:160:164 name_to_handle_at:303: open_by_handle_at:304: io_setup:206:0 io_submit:209:2 quotactl:179:60
acct:163:89 settimeofday:164:170 clock_settime:227:112
prctl:157:167 shmat:30:196 shmctl:31:195 semctl:66:191 semop:65:193 semtimedop:220:192
msgctl:71:187 msgsnd:69:189 msgrcv:70:188 mq_unlink:241:181 setpriority:141:140
sched_setaffinity:203:122 sched_setscheduler:144:119 sched_setparam:142:118
sched_setattr:314:274 ioprio_set:251:30 sync:162:81 syncfs:306:267
"""
"""Name, number on x86_64 and number on aarch64 (none where it does not exist), from their unistd.h."""


class Calls(NamedTuple):
    """Numbers of one architecture."""

    audit: int
    openat: int
    open: int | None
    prlimit64: int
    ioctl: int
    fcntl: int
    denied: tuple[int, ...]


def _denied(column: int) -> tuple[int, ...]:
    numbers = (entry.split(":")[column] for entry in _DENIED.split())
    return tuple(int(number) for number in numbers if number)


_EXECUTE = {"x86_64": (59, 322), "aarch64": (221, 281)}
"""execve and execveat."""
_X86_64 = Calls(audit=0xC000003E, openat=257, open=2, prlimit64=302, ioctl=16, fcntl=72, denied=_denied(1))
_AARCH64 = Calls(audit=0xC00000B7, openat=56, open=None, prlimit64=261, ioctl=29, fcntl=25, denied=_denied(2))
KNOWN = {"x86_64": _X86_64, "aarch64": _AARCH64}
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def missing() -> str | None:
    """Why programs cannot be confined on this machine; None where they can."""
    if _libc is None:
        return f"system calls can be filtered on Linux only, this is {sys.platform}"
    if platform.machine() not in KNOWN:
        return f"the numbers of system calls on {platform.machine()} are not known"
    if _libc.prctl(21, 0, 0, 0, 0) < 0:  # PR_GET_SECCOMP
        return "this kernel has no seccomp"
    return None


def bpf(calls: Calls) -> bytes:
    """The filter as a classic BPF program over (number, architecture, ..., arguments)."""
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, calls.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    conditions = [
        (calls.openat, 2, 0, _WRITES),
        (calls.prlimit64, 2, 0, 0xFFFFFFFF),
        (calls.prlimit64, 2, 4, 0xFFFFFFFF),
        (calls.fcntl, 1, 0, _SENDS_SIGNALS),
    ]
    conditions += [(calls.open, 1, 0, _WRITES)] if calls.open is not None else []
    for number, argument, half, bits in conditions:
        code += [
            (_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, 16 + 8 * argument + half),
            (_ANY_BIT, 0, 1, bits),
            (_RETURN, 0, 0, _FAIL | errno.EPERM),
            (_LOAD, 0, 0, _NUMBER),
        ]
    for number in _NEW_ALLOWED:
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    code += [(_AT_LEAST, 0, 1, _NEW_FROM), (_RETURN, 0, 0, _FAIL | errno.ENOSYS)]
    code += [(_EQUAL, 0, 1, calls.ioctl), (_RETURN, 0, 0, _FAIL | errno.ENOTTY)]
    for number in calls.denied:
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _FAIL | errno.EPERM)]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in code)


def confine(signal: int | None, files: int | None = None) -> None:
    """Confines this process for good; it gets `signal` when its parent ends. For a fork that is about to exec.

    `files` is the descriptor of Landlock's rules, if there are any. Without a signal the process stays the program that
    it is: it cannot become another one either.

    Raises:
        OSError: the kernel refuses.
    """
    calls = KNOWN[platform.machine()]
    if signal is None:
        calls = calls._replace(denied=calls.denied + _EXECUTE[platform.machine()])
    else:
        _prctl(_DEATH_SIGNAL, signal)
    for capability in range(_LAST_CAPABILITY + 1):  # root would get them back by exec, and with them its powers
        assert _libc is not None
        _libc.prctl(_DROP_CAPABILITY, capability, 0, 0, 0)
    _prctl(_NO_NEW_PRIVS, 1)
    if files is not None:
        hide_files(files)
    code = bpf(calls)
    program = _Program(len(code) // 8, code)
    _prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program))


def hide_memory() -> None:
    """Keeps other processes of the same user from reading this one's memory."""
    _prctl(_DUMPABLE, 0)


def _prctl(option: int, *arguments: object) -> None:
    assert _libc is not None
    if _libc.prctl(option, *arguments, *[0] * (4 - len(arguments))) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}) failed: {errno.errorcode.get(number, number)}")
