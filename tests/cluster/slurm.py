"""A Slurm of one node, started by hand below a folder of its own and stopped whatever happens."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.sweeps import processes_that_name, wait_for

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "sinfo", "munged")
# Where Debian puts daemons, which is not on every user's path.
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

CONFIGURATION = """\
ClusterName=test
SlurmctldHost=localhost
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=1
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,sched_interval=1,bf_interval=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MaxArraySize=20
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
NodeName=localhost NodeAddr=127.0.0.1 NodeHostname={host} CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""


class Unavailable(Exception):
    """Slurm is not installed and cannot be."""


def install() -> None:
    """Install what is missing of Slurm.

    Raises
    ------
    Unavailable
        If that takes apt-get or rights that are not there.
    CalledProcessError
        If apt-get fails.
    """
    missing = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    if not missing:
        return
    needed = f"{', '.join(missing)} not found, which Debian's packages {' '.join(PACKAGES)} have"
    if shutil.which("apt-get") is None:
        raise Unavailable(f"{needed}: there is no apt-get")
    as_root = [] if os.getuid() == 0 else ["sudo", "--non-interactive"]
    if as_root and (not shutil.which("sudo") or subprocess.run([*as_root, "true"], check=False).returncode):
        raise Unavailable(f"{needed}: installing them needs root")
    apt = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "install", "--yes", "--no-install-recommends", *PACKAGES], check=True)


@dataclass(frozen=True)
class Slurm:
    """A Slurm that runs.

    Attributes
    ----------
    folder : Path
        Holds all its files.
    """

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which commands reach this Slurm and no other."""
        return {**os.environ, "PATH": PATH, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def ask(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.strip()

    def jobs(self, *states: str) -> list[str]:
        """Numbers of the jobs in these states, by default of all in the queue; those of an array apart, as ``7_0``."""
        chosen = [f"--states={','.join(states)}"] if states else []
        return self.ask("squeue", "--noheader", "--array", "--format=%i", *chosen).split()

    def job_of(self, process: int) -> str:
        """Number of the job that a process belongs to."""
        variables = Path(f"/proc/{process}/environ").read_text().split("\0")
        return next(each for each in variables if each.startswith("SLURM_JOB_ID=")).partition("=")[2]

    def processes(self) -> list[int]:
        """Processes of this Slurm and of its jobs: all that name its folder in their arguments or variables."""
        return processes_that_name(str(self.folder))


@contextlib.contextmanager
def one_node(folder: Path) -> Iterator[Slurm]:
    """Start a Slurm of this machine's cores, and stop it and all its jobs at the end.

    Parameters
    ----------
    folder : Path
        Empty.

    Raises
    ------
    RuntimeError
        If it does not come up.
    """
    slurm, daemons = Slurm(folder), []
    try:
        for command in commands(folder):
            with (folder / f"{command[0]}.out").open("w") as out:
                daemons.append(subprocess.Popen(command, env=slurm.environment, stdout=out, stderr=out))
        wait_for(lambda: is_up(slurm, daemons), "an idle node")
        yield slurm
    finally:
        stop(slurm, daemons)


def commands(folder: Path) -> list[list[str]]:
    """Write the configuration; the command lines of the daemons that it needs, in the foreground."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "slurm.conf").write_text(configuration(folder))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    munge = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munge.pid"}
    munge |= {"log-file": folder / "munge.log", "seed-file": folder / "munge.seed"}
    options = [f"--{name}={path}" for name, path in munge.items()]
    return [
        ["munged", "--foreground", "--force", *options],  # which would rather not stand below /tmp
        ["slurmctld", "-D", "-f", str(folder / "slurm.conf")],
        ["slurmd", "-D", "-f", str(folder / "slurm.conf"), "-N", "localhost"],
    ]


def is_up(slurm: Slurm, daemons: list[subprocess.Popen[bytes]]) -> bool:
    """Whether the node takes jobs.

    Raises
    ------
    RuntimeError
        If a daemon has ended instead.
    """
    for daemon in daemons:
        if daemon.poll() is not None:
            name = Path(daemon.args[0]).name
            raise RuntimeError(f"{name} ended with {daemon.returncode}: {(slurm.folder / f'{name}.out').read_text()}")
    with contextlib.suppress(subprocess.CalledProcessError):  # nobody answers yet
        return "idle" in slurm.ask("sinfo", "--noheader", "--format=%T")
    return False


def configuration(folder: Path) -> str:
    """The text of slurm.conf for this machine and free ports."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    return CONFIGURATION.format(
        folder=folder,
        user=getpass.getuser(),
        ports=free_ports(2),
        host=socket.gethostname().partition(".")[0],
        cpus=os.cpu_count(),
        memory=memory * 9 // 10,
    )


def free_ports(n: int) -> list[int]:
    """Ports that nothing listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def stop(slurm: Slurm, daemons: list[subprocess.Popen[bytes]]) -> None:
    """End the jobs and daemons: by Slurm's own means first, then whatever is left."""
    with contextlib.suppress(OSError, subprocess.SubprocessError, TimeoutError):
        slurm.ask("scancel", "--user", getpass.getuser())
        wait_for(lambda: not slurm.jobs(), "the end of all jobs", patience=10.0)
    for sent in (signal.SIGTERM, signal.SIGKILL):
        for process in slurm.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, sent)
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: not slurm.processes(), "the end of all processes", patience=10.0)
    for daemon in daemons:
        daemon.wait()
