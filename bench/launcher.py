"""Runs a command and writes its cost to a descriptor, as JSON. `processes.py` starts it.

It is a small process of its own, because the kernel counts the memory of the process that starts a
command as the command's (fs/exec.c, exec_mmap).
"""

import json
import os
import signal
import sys
import time

descriptor = int(sys.argv[1])
os.set_inheritable(descriptor, False)
start = time.monotonic()
# A background process of a shell ignores SIGINT, and the command would inherit that.
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ, setsigdef=[signal.SIGINT])
# The first SIGTERM ends the command as Ctrl-C would; the second one kills it.
signals = iter([signal.SIGINT])
signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, next(signals, signal.SIGKILL)))
_, status, usage = os.wait4(pid, 0)
cost = {
    "exit_code": os.waitstatus_to_exitcode(status),
    "cpu": usage.ru_utime + usage.ru_stime,
    "wall": time.monotonic() - start,
    "peak": usage.ru_maxrss * 1024,
}
os.write(descriptor, json.dumps(cost).encode())
