"""A Slurm cluster of one machine, in a folder of its own, from Debian's packages slurm-wlm and munge.

A job in the partition `urgent` takes the node from those in `work`, which are queued again, and from those in `cheap`,
which are cancelled. There is no account of jobs (slurmdbd), as on small clusters: `sacct` knows nothing.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from functools import partial
from pathlib import Path

from bench.lifeline import die_with

# Debian puts daemons where only root looks.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "srun")

CONFIGURATION = """\
ClusterName=tiny
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=2
ReturnToService=2
InactiveLimit=0
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=work Nodes=ALL Default=YES State=UP PriorityTier=1 PreemptMode=requeue
PartitionName=cheap Nodes=ALL State=UP PriorityTier=1 PreemptMode=cancel
PartitionName=urgent Nodes=ALL State=UP PriorityTier=10 PreemptMode=off
"""


def missing() -> list[str]:
    """The programs of Slurm and munge that are not installed here."""
    return [name for name in NEEDED if shutil.which(name, path=PATH) is None]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Cluster:
    """Use as a context manager; `environ` is what its commands need."""

    def __init__(self, folder: Path, cpus: int = 4) -> None:
        self.folder = folder
        self.cpus = cpus
        self.environ = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Cluster:
        try:
            self._configure()
            munge = ["--foreground", f"--socket={self.folder}/munge.socket", f"--key-file={self.folder}/munge.key"]
            munge += [f"--pid-file={self.folder}/munge.pid", f"--log-file={self.folder}/munge.log"]
            munge += [f"--seed-file={self.folder}/munge.seed", "--force"]
            self._daemon("munged", *munge)
            self._wait((self.folder / "munge.socket").exists)
            self._daemon("slurmctld", "-D")
            self._daemon("slurmd", "-D")
            self._wait(lambda: "idle" in self.run("sinfo", "-h", "-o", "%T", check=False))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Ends all jobs, and the daemons."""
        if len(self._daemons) == 3:
            self.run("scancel", "--user", getpass.getuser(), check=False)
            self._wait(lambda: not self.run("squeue", "-h", check=False), 10, strict=False)
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def run(self, *command: str, check: bool = True) -> str:
        """What a command of Slurm prints. Raises CalledProcessError where it fails and that is to be checked."""
        found = subprocess.run(command, env=self.environ, capture_output=True, text=True, check=check, timeout=30)
        return found.stdout.strip()

    def states(self) -> dict[str, str]:
        """Of all jobs that were submitted, by id. One that was queued again would be kept from starting for two
        minutes, as long as its former credential is good: here it may start at once."""
        said = self.run("squeue", "-h", "--array", "--states=all", "--format=%i|%T|%r")
        rows = [line.split("|") for line in said.splitlines()]
        for job, _, why in rows:
            if why == "BeginTime":
                self.run("scontrol", "update", f"jobid={job}", "StartTime=now", check=False)
        return {job: state for job, state, _ in rows}

    def _configure(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        text = CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0], user=getpass.getuser(), folder=self.folder, cpus=self.cpus,
            controller=_free_port(), daemon=_free_port(),
        )  # fmt: skip
        (self.folder / "slurm.conf").write_text(text)

    def _daemon(self, name: str, *arguments: str) -> None:
        program = shutil.which(name, path=PATH)
        assert program is not None
        with (self.folder / f"{name}.out").open("wb") as out:
            process = subprocess.Popen(
                [program, *arguments],
                env=self.environ,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                preexec_fn=partial(die_with, os.getpid()),
            )
        self._daemons.append(process)

    def _wait(self, condition, seconds: float = 30, strict: bool = True) -> None:  # type: ignore[no-untyped-def]
        end = time.monotonic() + seconds
        while not condition():
            if dead := [each.args for each in self._daemons if each.poll() is not None]:
                raise RuntimeError(f"{dead[0]} ended; see the logs in {self.folder}")
            if time.monotonic() > end:
                if strict:
                    raise RuntimeError(f"the cluster did not come up; see the logs in {self.folder}")
                return
            time.sleep(0.1)
