"""A RabbitMQ of its own: node, data and ports are this run's, nothing of the machine's is touched."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from integration import debian
from integration.stock import processes

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
PLUGINS = "[rabbitmq_management]."
PATIENCE = 90.0
"""Seconds that RabbitMQ may take to start or to end, on two busy cores."""


def require_rabbitmq() -> None:
    """RabbitMQ, from Debian's package if it is missing and we may install it."""
    if SERVER.exists():
        return
    debian.install("rabbitmq-server")
    # The package starts a server for the whole machine, which nobody here needs.
    subprocess.run(["service", "rabbitmq-server", "stop"], capture_output=True)


class Broker:
    """Started and stopped as often as a test wants, always with the same data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.tls_port, self.management_port, self._distribution_port, self._names_port = (
            _free_ports(5)
        )
        self._node = f"test{self.port}@localhost"
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("data", "log"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "enabled_plugins").write_text(PLUGINS)
        self.certificate = _certificate(folder)
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlisteners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.certfile = {self.certificate}\nssl_options.keyfile = {folder / 'key.pem'}\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.management_port}\n"
        )

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    @property
    def tls_url(self) -> str:
        """The same with TLS; its certificate is known to nobody."""
        return f"amqps://guest:guest@localhost:{self.tls_port}/%2F"

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self.management_port}"

    def start(self) -> None:
        processes.adopt_orphans()  # its daemon of names is one
        with open(self.folder / "out", "ab") as out:
            self._process = subprocess.Popen(
                [SERVER], env=self._environ(), cwd=self.folder, stdout=out, stderr=out, start_new_session=True
            )
        _wait_for_port(self.port)
        _wait_for_port(self.management_port)

    def limit_memory(self, share: float) -> None:
        """Have it raise its alarm above this share of the machine's memory. Takes some seconds."""
        command = [
            SERVER.with_name("rabbitmqctl"),
            "--node",
            self._node,
            "set_vm_memory_high_watermark",
            str(share),
        ]
        subprocess.run(command, env=self._environ(), check=True, capture_output=True)

    def _environ(self) -> dict[str, str]:
        return {
            **os.environ,
            processes.MARK: str(self.folder),
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the node; with SIGKILL as a crash would."""
        if self._process is None:
            return
        os.killpg(self._process.pid, number)
        self._process.wait(PATIENCE)
        self._process = None
        processes.kill(self._daemons)

    def _daemons(self) -> list[int]:
        """Its daemon of names, which outlives it."""
        return [one for one in processes.of_peer(self.folder, None) if "epmd" in processes.words(one)]

    def restart(self) -> None:
        self.stop()
        self.start()


def _certificate(folder: Path) -> Path:
    """A certificate for localhost that it has signed itself, with its key in key.pem beside it."""
    made = folder / "certificate.pem"
    options = ("-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")
    names = ("-addext", "subjectAltName=DNS:localhost")
    subprocess.run(
        ["openssl", "req", "-x509", *options, *names, "-keyout", folder / "key.pem", "-out", made],
        check=True,
        capture_output=True,
    )
    return made


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port} after {PATIENCE:.0f} s")
