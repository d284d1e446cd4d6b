"""Our service, the stock endpoint and the stock SDK as processes, each killed and started again as a test wants.

Stock peers know their service by a name; `local` is http://localhost:5000, so there is one such service at a time.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

from integration.pythons import ROOT
from integration.stock import processes
from integration.stock.broker import Broker

HERE = Path(__file__).parent
PORT = 5000
CLIENT_ID, CLIENT_SECRET = "11111111-2222-4333-8444-555555555555", "the-secret-of-this-test"
OWN_ENDPOINT = "c0de0000-0000-8000-8000-00000000c0de"
PATIENCE = 60.0
"""Seconds that a process may take to be up, or to be gone."""


def stock_environ(folder: Path) -> dict[str, str]:
    """What stock peers need to find our service, with their own files in ``folder``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GLOBUS", "PYTHON"))}
    return {
        **kept,
        processes.MARK: str(folder),
        "GLOBUS_SDK_ENVIRONMENT": "local",
        "GLOBUS_SDK_SERVICE_URL_AUTH": f"http://localhost:{PORT}/",
        "GLOBUS_COMPUTE_CLIENT_ID": CLIENT_ID,
        "GLOBUS_COMPUTE_CLIENT_SECRET": CLIENT_SECRET,
        "GLOBUS_COMPUTE_USER_DIR": str(folder),
    }


class Service:
    """``compute-executor serve`` on the port that stock peers expect."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder = folder
        self._broker = broker
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        environ = {
            **os.environ,
            processes.MARK: str(self.folder),
            "COMPUTE_EXECUTOR_AMQP_URL": self._broker.url,
            "COMPUTE_EXECUTOR_CLIENT_ID": CLIENT_ID,
            "COMPUTE_EXECUTOR_CLIENT_SECRET": CLIENT_SECRET,
        }
        chosen = ("--state", str(self.folder), "--amqp-management-url", self._broker.management_url)
        people = ("--auth", "token", "--trust-all-users")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "compute_executor",
                "serve",
                "--port",
                str(PORT),
                *chosen,
                *people,
                *options,
            ],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._announced, "the service serves", self._died)

    def _announced(self) -> bool:
        try:
            document = json.loads((self.folder / "service.json").read_text())
        except (OSError, ValueError):
            return False
        return bool(self._process and document["pid"] == self._process.pid)

    def _died(self) -> str:
        if self._process and self._process.poll() is not None:
            return f"it ended with {self._process.returncode}: {self.log()[-2000:]}"
        return ""

    def log(self) -> str:
        path = self.folder / "service.log"
        return path.read_text() if path.exists() else ""

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it; with SIGKILL as a crash would."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)
            self._process = None

    def restart_after_kill(self) -> None:
        self.stop(signal.SIGKILL)
        self.start()


class Endpoint:
    """A stock endpoint, single user, whose user endpoints start from our template."""

    _running: ClassVar[set[int]] = set()
    """The main processes of all of them."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder = folder
        self._bin = python.parent
        self._environ = {
            **stock_environ(folder),
            "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}",
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def id(self) -> str:
        return str(json.loads((self.folder / "stock" / "endpoint.json").read_text())["endpoint_id"])

    def configure(self) -> None:
        self.folder.mkdir(parents=True)
        template = HERE / "user_config_template.yaml.j2"
        command = [self._bin / "globus-compute-endpoint", "configure", "stock", "--multi-user", "false"]
        known = subprocess.run(
            [*command[:2], "--help"], env=self._environ, capture_output=True, text=True
        ).stdout
        contact = ["--contact-email", "nobody@example.org"] if "--contact-email" in known else []
        subprocess.run(
            [*command, *contact, "--template-config", template],
            env=self._environ,
            cwd=self.folder,
            check=True,
            capture_output=True,
        )
        (self.folder / "stock" / "user_config_schema.json").unlink(missing_ok=True)
        # The environment of user endpoints is cleared when root starts them.
        (self.folder / "stock" / "user_environment.yaml").write_text(
            f'PATH: "{self._environ["PATH"]}"\nGLOBUS_COMPUTE_USER_DIR: "{self.folder}"\n'
        )

    def start(self) -> None:
        """Start it in a session of its own: when it ends it signals its whole process group."""
        (self.folder / "stock" / "daemon.pid").unlink(missing_ok=True)
        with open(self.folder / "out", "ab") as out:
            self._process = subprocess.Popen(
                [self._bin / "globus-compute-endpoint", "start", "stock"],
                env=self._environ,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._running.add(self._process.pid)
        started = self.folder / "stock" / "daemon.pid", self.folder / "stock" / "endpoint.json"
        wait_until(lambda: all(one.exists() and one.stat().st_size for one in started), "the endpoint starts")

    def refused(self) -> str:
        """What one of a release before templates says when it is configured its way, started, and not let in."""
        self.folder.mkdir(parents=True)
        program = self._bin / "globus-compute-endpoint"
        for command in (["configure", "old"], ["start", "old"]):
            done = subprocess.run(
                [program, *command], env=self._environ, cwd=self.folder, capture_output=True, text=True
            )
        assert done.returncode != 0
        log = self.folder / "old" / "endpoint.log"
        return done.stdout + done.stderr + (log.read_text() if log.exists() else "")

    def kill(self) -> None:
        """SIGKILL to it and to everything it has started, also what it has detached."""
        if self._process is not None:
            main = self._process.pid
            self._running.discard(main)
            processes.kill(lambda: processes.of_peer(self.folder, main, self._running))
            self._process.wait(PATIENCE)
            self._process = None


class Sdk:
    """Scripts that run with an SDK: the stock one's, or ours, whose Python is that of these tests."""

    def __init__(self, folder: Path, python: Path) -> None:
        self._python = python
        self.environ = stock_environ(folder)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def ours(cls, folder: Path) -> Sdk:
        """Ours, asking the service on the port of these tests."""
        made = cls(folder, Path(sys.executable))
        made.environ |= {"PYTHONPATH": str(ROOT), "TEST_SERVICE": f"http://localhost:{PORT}"}
        return made

    def logged_in(self, number: str, secret: str) -> Sdk:
        """The same with another login."""
        made = copy.copy(self)
        login = {"GLOBUS_COMPUTE_CLIENT_ID": number, "GLOBUS_COMPUTE_CLIENT_SECRET": secret}
        made.environ = {**self.environ, **login}
        return made

    def start(
        self, script: str, *arguments: str, config: dict[str, Any] | None = None
    ) -> subprocess.Popen[str]:
        """A script of `scripts`, running; `answer` waits for it. ``config``: of the user endpoint."""
        return subprocess.Popen(
            [str(self._python), str(HERE / "scripts" / script), *arguments],
            env={**self.environ, "TEST_CONFIG": json.dumps(config) if config else ""},
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, script: str, *arguments: str, config: dict[str, Any] | None = None, patience: float = 180.0
    ) -> Any:
        """What a script prints last, as JSON."""
        return answer(self.start(script, *arguments, config=config), patience)


def answer(process: subprocess.Popen[str], patience: float = 180.0) -> Any:
    """The last line that a script prints, read as JSON."""
    try:
        out, err = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"not done after {patience} s:\n{out[-2000:]}\n{err[-3000:]}") from None
    assert process.returncode == 0, f"{out[-2000:]}\n{err[-4000:]}"
    return json.loads(out.strip().splitlines()[-1])


def wait_until(holds: Any, what: str, died: Any = lambda: "", patience: float = PATIENCE) -> None:
    """Look every tenth of a second."""
    deadline = time.monotonic() + patience
    while not holds():
        reason = died()
        assert not reason, reason
        assert time.monotonic() < deadline, f"not after {patience:.0f} s: {what}"
        time.sleep(0.1)
