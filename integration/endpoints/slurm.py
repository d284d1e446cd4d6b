"""A real Slurm on this machine alone: munged, slurmctld and a slurmd, on loopback, without systemd, cgroups or
database.

As root. Everything lies in one folder; only processes that were started here are ended.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from integration import debian

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
PATIENCE = 30.0

CONFIGURATION = """
ClusterName=integration
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CommunicationParameters=NoAddrCache
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
PropagateResourceLimits=NONE
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0
KillWait=2
MinJobAge=300
ReturnToService=2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={node_port} CPUs=8 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES:4
"""


class NoSlurm(Exception):
    """There is no Slurm here, and why."""


class OneNodeSlurm:
    """The cluster. Raises NoSlurm if it cannot be."""

    def __init__(self, folder: Path) -> None:
        if os.geteuid() != 0:
            raise NoSlurm("Slurm's daemons need root")
        if not all(shutil.which(program) for program in PROGRAMS):
            try:
                debian.install("slurm-wlm", "munge")
            except debian.CannotInstall as error:
                raise NoSlurm(str(error)) from None
        self._folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._pids: list[int] = []

    def up(self) -> None:
        """Start it; returns when the node is idle. Raises NoSlurm with what its log says."""
        folder = self._folder
        folder.chmod(0o755)
        for name in ("munge", "controller", "spool"):
            (folder / name).mkdir(exist_ok=True)
        (folder / "munge").chmod(0o711)
        (folder / "munge" / "key").write_bytes(secrets.token_bytes(128))
        (folder / "munge" / "key").chmod(0o600)
        host = socket.gethostname().partition(".")[0]
        text = CONFIGURATION.format(folder=folder, host=host, port=_free_port(), node_port=_free_port())
        (folder / "slurm.conf").write_text(text)
        (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        munge = folder / "munge"
        self._daemon(
            "munged",
            "--force",
            *(f"--{name}={munge / value}" for name, value in MUNGE_FILES.items()),
            pid_file=munge / "pid",
        )
        self._daemon("slurmctld", "-f", str(folder / "slurm.conf"), pid_file=folder / "slurmctld.pid")
        self._daemon("slurmd", "-f", str(folder / "slurm.conf"), "-N", "n1", pid_file=folder / "slurmd.pid")
        deadline = time.monotonic() + PATIENCE
        while "idle" not in self.run("sinfo", "-h", "-o", "%t"):
            if time.monotonic() > deadline:
                raise NoSlurm(
                    f"its node does not become idle: {(folder / 'slurmctld.log').read_text()[-500:]}"
                )
            time.sleep(0.1)

    def _daemon(self, *command: str, pid_file: Path) -> None:
        done = subprocess.run(command, env=self._environ(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoSlurm(f"{command[0]}: {done.stderr.strip()[-300:]}")
        deadline = time.monotonic() + PATIENCE
        while not (pid_file.exists() and pid_file.read_text().strip()):
            if time.monotonic() > deadline:
                raise NoSlurm(f"{command[0]} did not start")
            time.sleep(0.05)
        self._pids.append(int(pid_file.read_text()))

    def _environ(self) -> dict[str, str]:
        foreign = ("SLURM_", "SBATCH_")  # Slurm's commands take options from these
        own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return {**own, **self.environment}

    def run(self, *command: str) -> str:
        """What a command of Slurm's prints."""
        done = subprocess.run(command, env=self._environ(), capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def jobs(self) -> list[str]:
        """The ids of the jobs that wait or run."""
        return self.run("squeue", "-h", "-o", "%i").split()

    def down(self) -> None:
        """Cancel all jobs and end the daemons."""
        for job in self.jobs():
            self.run("scancel", job)
        deadline = time.monotonic() + PATIENCE
        while self.jobs() and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in reversed(self._pids):
            _end(pid)


MUNGE_FILES = {
    "key-file": "key",
    "socket": "socket",
    "pid-file": "pid",
    "log-file": "log",
    "seed-file": "seed",
}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end(pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + 5.0
        try:
            os.kill(pid, number)
            while time.monotonic() < deadline and _alive(pid):
                time.sleep(0.05)
        except ProcessLookupError:
            return


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")
