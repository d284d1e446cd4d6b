"""Archives from elsewhere: unpacked inside their folder, or not at all."""

from __future__ import annotations

import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compute_executor.endpoint.environments import fetch

Serve = Callable[[bytes], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve(content)``: an address with this content."""
    content = [b""]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if content[0] else 404)
            self.end_headers()
            self.wfile.write(content[0])

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    def give(what: bytes) -> str:
        content[0] = what
        return f"http://127.0.0.1:{server.server_port}/archive"

    yield give
    server.shutdown()
    thread.join()
    server.server_close()


def a_zip(**files: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return memory.getvalue()


def a_tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return memory.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    return info


def test_a_zip_and_a_tar(serve: Serve, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert fetch.main(serve(a_zip(**{"a.py": "1", "deep/b.py": "2"})), str(one)) == 0
    archive = a_tar((member(".", tarfile.DIRTYPE), b""), (member("./deep/b.py"), b"2"))
    assert fetch.main(serve(archive), str(two)) == 0
    assert (one / "deep" / "b.py").read_text() == (two / "deep" / "b.py").read_text() == "2"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"neither", "neither a zip nor a tar"),
        (b"", "404"),
        (a_zip(**{"../out": "x"}), "outside of its folder"),
        (a_zip(**{"/tmp/out": "x"}), "outside of its folder"),
        (a_tar((member("a/../../out"), b"x")), "outside of its folder"),
        (a_tar((member("link", tarfile.SYMTYPE), b"")), "neither a file nor a folder"),
        (a_tar((member("pipe", tarfile.FIFOTYPE), b"")), "neither a file nor a folder"),
        (a_tar((member("a"), b"x" * 1000))[:60], "cannot be unpacked"),
    ],
    ids=["bytes", "nothing", "zip up", "zip absolute", "tar up", "tar link", "tar pipe", "tar cut"],
)
def test_what_is_refused_leaves_nothing(
    serve: Serve, tmp_path: Path, content: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch.main(serve(content), str(tmp_path / "new")) == 1
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_bomb_is_not_unpacked(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fetch, "MOST_BYTES", 100_000)
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(90_000))
        archive.writestr("b", bytes(90_000))
    assert len(memory.getvalue()) < 1000
    assert fetch.main(serve(memory.getvalue()), str(tmp_path / "new")) == 1
    assert "over the limit" in capsys.readouterr().err
