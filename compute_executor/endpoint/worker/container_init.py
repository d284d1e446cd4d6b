"""The first process of a worker's container: ``python3 container_init.py SOCKET``. Standard library only.

It takes the descriptors through a socket (`endpoint.pool.fd_server`), starts the worker as its child and ends as the
worker ends. Two processes, because the first of a container is immune to the signal with which the kernel ends
workers whose service is gone; what is left in the container dies with it. SIGTERM is handed on.
"""

import contextlib
import os
import signal
import socket
import sys

OLDEST = (3, 10)
FILES = 7
"""Task channel, stream, life line, result ring, log records; and the output, which becomes 1 and 2."""


def main(socket_file: str) -> int:
    """Return what the worker ended with, as a shell would say it: 128 and the signal's number if it was one."""
    if sys.version_info < OLDEST:
        print(
            f"this image has Python {sys.version.split()[0]}; workers need {OLDEST[0]}.{OLDEST[1]} or newer"
        )
        return 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(socket_file)
        _, files, _, _ = socket.recv_fds(connection, 1, FILES)
    worker = os.fork()
    if worker == 0:
        work(files)
    for file in files:
        os.close(file)
    signal.signal(signal.SIGTERM, lambda *_: hand_on(worker))
    return wait(worker)


def work(files: "list[int]") -> None:
    """Become the worker, the leader of a group that can be ended as a whole."""
    os.setsid()
    *channels, out, err = files
    for number, output in ((1, out), (2, err)):
        os.dup2(output, number)
        os.close(output)
    for file in channels:
        os.set_inheritable(file, True)
    start = os.path.join(os.path.dirname(os.path.abspath(__file__)), "start.py")
    os.execv(sys.executable, [sys.executable, start, *map(str, channels)])


def hand_on(worker: int) -> None:
    """Note that the worker is to end."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker, signal.SIGTERM)


def wait(worker: int) -> int:
    """Wait for the worker; meanwhile take in the orphans of its tasks, as the first process must."""
    while True:
        pid, status = os.wait()
        if pid == worker:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
