"""A Python without what only Linux and macOS have. It starts every process whose PYTHONPATH names this folder."""

import os
import select
import signal
import sys

for module in ("fcntl", "resource", "termios", "pwd", "grp", "tty", "pty", "syslog"):
    sys.modules[module] = None
for name in ("sched_getaffinity", "sched_setaffinity", "sysconf", "getuid", "geteuid", "getgid", "killpg", "getpgid"):
    delattr(os, name)
# SIGUSR1 and SIGKILL stay: Lightning asks for the system before it uses them.
for name in ("SIGUSR2", "SIGHUP", "SIGQUIT", "SIGALRM"):
    delattr(signal, name)
del select.poll
