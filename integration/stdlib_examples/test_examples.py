"""The examples of the standard library's documentation run with only the class name changed."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


class Pages(http.server.BaseHTTPRequestHandler):
    """Answers with as many bytes as the path has letters; one page is missing."""

    def do_GET(self) -> None:
        missing = self.path.startswith("/nonexistent")
        body = b"" if missing else b"x" * len(self.path)
        self.send_response(404 if missing else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run(example: str, *arguments: str) -> list[str]:
    root = str(HERE.parent.parent)
    command = [sys.executable, str(HERE / example), *arguments]
    answer = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert answer.stderr == ""
    return answer.stdout.splitlines()


def test_the_thread_pool_example(server: str) -> None:
    lines = sorted(run("thread_pool.py", server))

    assert lines == sorted(
        [
            f"'{server}/foxnews/' page is 9 bytes",
            f"'{server}/cnn/' page is 5 bytes",
            f"'{server}/europe.wsj/' page is 12 bytes",
            f"'{server}/bbc/' page is 5 bytes",
            f"'{server}/nonexistent-subdomain/' generated an exception: HTTP Error 404: Not Found",
        ]
    )


def test_the_process_pool_example() -> None:
    assert run("process_pool.py") == [
        "112272535095293 is prime: True",
        "112582705942171 is prime: True",
        "112272535095293 is prime: True",
        "115280095190773 is prime: True",
        "115797848077099 is prime: True",
        "1099726899285419 is prime: False",
    ]
