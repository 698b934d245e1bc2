"""How many processes run this stage together, as launchers tell them: a stage refuses more than one.

Processes that do not exchange gradients train a model each, and write them all into one folder. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping

from alignment.errors import StageError

# torchrun, accelerate and DeepSpeed; Open MPI; MPICH and Intel MPI; MVAPICH; the tasks of one `srun`.
SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")


def check_alone(stage: str, environment: Mapping[str, str]) -> None:
    """Raise `StageError` when the environment says that this process is one of several."""
    for name in SIZES:
        value = environment.get(name, "").strip()
        if value.isdigit() and int(value) > 1:
            raise StageError(
                f"{stage} was started as {value} processes ({name}={value}) and they cannot train one model together: "
                "start it as one process, for instance with --nproc-per-node 1 or --num_processes 1."
            )
