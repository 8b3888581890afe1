"""The run scripts: what arrives at the launcher, in the launcher's own reading."""

import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

RUNS = Path(__file__).parents[2] / "training/runs"
SRUN = '#!/bin/bash\nshift\nexport SLURM_NODEID=1\nexec "$@"\n'
FAILING_SRUN = """#!/bin/bash
case "$*" in
    *--overlap*) exit $SILENT;;
    *) exit 3;;
esac
"""
SCONTROL = '#!/bin/bash\n[ "$1" = show ] && echo node1 || echo "$@"\n'
RECORD = '#!/bin/bash\nprintf "%s\\n" "${0##*/}" "$CUDA_VISIBLE_DEVICES" "$@"\n'
SLURM = {
    "SLURM_JOB_NODELIST": "node[1-2]",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_JOB_ID": "1234567",
    "SLURM_GPUS_ON_NODE": "4",
}


def called(tmp_path: Path, script: str, *arguments: str, **variables: str) -> list[str]:
    """Run a script with the programs that it calls replaced; returns the name and the arguments of the last."""
    hosts = "#!/bin/bash\necho node1\necho node2\n"
    for name, text in {"python": RECORD, "accelerate": RECORD, "srun": SRUN, "scontrol": hosts}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": "", **variables}
    ran = subprocess.run([RUNS / script, *arguments], capture_output=True, text=True, env=environment, check=True)
    return ran.stdout.splitlines()


def launched(arguments: list[str]) -> Namespace:
    from accelerate.commands.launch import launch_command_parser

    assert arguments[0] == "accelerate"
    return launch_command_parser().parse_args(arguments[3:])


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")


def test_one_gpu_is_the_plain_command_on_the_gpu_asked_for(tmp_path: Path) -> None:
    assert called(tmp_path, "one_gpu.sh")[1:] == ["0", "-m", "pysr_neural_training.learning.train", "small"]
    given = called(tmp_path, "one_gpu.sh", "tiny", "--set", "seed=2", GPU="3")
    assert given == ["python", "3", "-m", "pysr_neural_training.learning.train", "tiny", "--set", "seed=2"]


def test_many_gpus_are_a_process_each(tmp_path: Path) -> None:
    options = launched(called(tmp_path, "many_gpus.sh", "small", "--set", "seed=2", GPUS="4"))
    assert (options.num_processes, options.num_machines, options.multi_gpu, options.module) == (4, 1, True, True)
    assert options.training_script == "pysr_neural_training.learning.train"
    assert options.training_script_args == ["small", "--set", "seed=2"]


def test_slurm_starts_a_launcher_per_machine(tmp_path: Path) -> None:
    options = launched(called(tmp_path, "slurm.sh", "research", "--set", "seed=2 ", **SLURM))
    assert (options.num_processes, options.num_machines, options.machine_rank) == (8, 2, 1)
    assert (options.main_process_ip, options.main_process_port) == ("node1", 24567)
    assert options.training_script_args == ["research", "--set", "seed=2 "]


@pytest.mark.parametrize(
    ("silent", "restarts", "told"), [("1", "0", "requeue 1234567\n"), ("0", "0", ""), ("1", "20", "")]
)
def test_slurm_requeues_a_job_that_failed_with_a_machine(tmp_path: Path, silent: str, restarts: str, told: str) -> None:
    for name, text in {"srun": FAILING_SRUN, "scontrol": SCONTROL}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    given = {**SLURM, "PATH": path, "SILENT": silent, "SLURM_RESTART_COUNT": restarts}
    ran = subprocess.run([RUNS / "slurm.sh", "tiny"], capture_output=True, text=True, env=given, check=False)
    assert (ran.returncode, ran.stdout) == (3, told)
