"""Idle connections that take all the descriptors they can get, from somebody who has no token."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from tests.contract.scripts import Program

FEW = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
"""

CROWD = """
import socket, sys
crowd = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(100)]
print("here", flush=True)
sys.stdin.read()
"""

AT_WORK = f"""
import json, pathlib, subprocess
def die():
    os._exit(3)

with Executor(max_workers=2) as ex:
    print(ex.submit(pow, 2, 3).result(30))
    home = pathlib.Path(os.environ["COMPUTE_EXECUTOR_HOME"])
    (announcement,) = home.rglob("service.json")
    port = json.loads(announcement.read_text())["url"].rpartition(":")[2]
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", {CROWD!r}, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for one in crowd:
        one.stdout.readline()
    print(type(ex.submit(die).exception(30)).__name__)
    print(len(ex.submit(bytes, 5_000_000).result(30)))
    print(ex.submit(pow, 2, 4).result(30))
    for one in crowd:
        one.communicate()
with Executor(max_workers=1) as ex:
    print(ex.submit(pow, 2, 5).result(30))
"""


def test_a_crowd_of_idle_connections_takes_nothing_from_those_at_work(tmp_path: Path) -> None:
    with closing(Program(tmp_path, FEW + AT_WORK)) as program:
        ended = program.end(60)
        assert (ended.out.split(), ended.code) == (["8", "WorkerLost", "5000000", "16", "32"], 0), ended.err
        program.leaves_nothing()
