"""Runs one command and writes what it cost to a descriptor, as JSON. Started by `processes.py`.

A process of its own, and a small one: the kernel counts as a command's memory what the process
that started it had (fs/exec.c, exec_mmap), and how much that was must not matter.
"""

import json
import os
import signal
import sys
import time

descriptor = int(sys.argv[1])
os.set_inheritable(descriptor, False)
start = time.monotonic()
# Who is started in the background of a shell ignores SIGINT, and so would the command.
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ, setsigdef=[signal.SIGINT])
# Told to end, it ends the command as Ctrl-C would, and the second time for good.
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
