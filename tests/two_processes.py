"""Scripts that run in two processes over gloo."""

from __future__ import annotations

import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

from forked_jobs import FORKED
from paths import ROOT, TESTS


def run_two_processes(folder: Path, script: str, timeout: float = 600) -> None:
    """Run a script in two processes with the environment variables of torchrun."""
    file = folder / "two_processes_job.py"
    file.write_text(script)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [FORKED.Process(target=_run, args=(rank, port, file)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    output = "".join(_log(file, rank).read_text()[-6000:] for rank in range(2))
    assert codes == [0, 0], f"exit codes {codes}\n{output}"


def run_by_torchrun(folder: Path, script: str, timeout: float = 600) -> str:
    """Run a script with torchrun in two processes, and return their output."""
    file = folder / "two_processes_job.py"
    file.write_text(script)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(file)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-8000:]
    return done.stdout


def _run(rank: int, port: int, file: Path) -> None:
    with _log(file, rank).open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    sys.argv = [str(file)]
    runpy.run_path(str(file), run_name="__main__")


def _log(file: Path, rank: int) -> Path:
    return file.with_suffix(f".{rank}.log")
