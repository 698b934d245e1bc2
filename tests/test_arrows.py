"""The rooms import each other only in the directions that the README draws."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Who may be imported from where. A room is a folder, or the file of a name; what is not listed is refused.
ALLOWED: dict[str, set[str]] = {
    "serving": set(),
    "alignment": set(),
    "feedback_app.errors": set(),
    "feedback_app.settings": {"feedback_app.errors"},
    "feedback_app.private": set(),
    "feedback_app.store": {"feedback_app.errors", "feedback_app.private", "alignment.dataset.judgement"},
    "feedback_app.heartbeat": {"feedback_app.store", "serving.group"},
    "feedback_app.collect": {
        "feedback_app.errors",
        "feedback_app.settings",
        "feedback_app.store",
        "serving.client",
        "serving.errors",
        "serving.model_check",
    },
    "feedback_app.parts": {"feedback_app.collect", "feedback_app.settings", "feedback_app.store", "serving"},
    "feedback_app.ui": {
        "feedback_app.errors",
        "feedback_app.settings",
        "feedback_app.parts",
        "feedback_app.heartbeat",
        "feedback_app.collect",
        "feedback_app.store.database",  # handed through to collect
        "feedback_app.store.tables",  # the rows that come back
    },
    "feedback_app.api": {
        "feedback_app.errors",
        "feedback_app.settings",
        "feedback_app.parts",
        "feedback_app.collect",
        "feedback_app.store.database",
        "feedback_app.store.tables",
        "feedback_app.ui",  # the app mounts the pages
        "serving",
    },
    "feedback_app.loop": {
        "feedback_app.errors",
        "feedback_app.settings",
        "feedback_app.store",
        "feedback_app.heartbeat",
        "serving",
        "alignment",
    },
    "feedback_app.simulate": {
        "feedback_app.errors",
        "feedback_app.settings",
        "feedback_app.store",
        "feedback_app.collect",
        "alignment.evaluation.tastes",
    },
}
# The composition root: it may import everything, and nothing above may import it.
ROOT_OF_ALL = {
    "feedback_app.commands.app",
    "feedback_app.commands",
    "feedback_app.processes.wiring",
    "feedback_app.commands.doctor",
    "feedback_app.commands.evaluate",
    "feedback_app.exchange",
    "alignment.dataset.reading.formats",
    "feedback_app.processes.parent_watch",
    "feedback_app.processes.preflight",
    "feedback_app.processes.run",
    "feedback_app.processes.up_display",
    "feedback_app.processes.team",
    "feedback_app.__main__",
}
OURS = ("feedback_app", "serving", "alignment")


def room_of(module: str) -> str:
    """`serving` and `alignment` are one room each; in `feedback_app` every folder and file is one."""
    parts = module.split(".")
    return parts[0] if parts[0] != "feedback_app" else ".".join(parts[:2])


def modules() -> Iterator[tuple[str, Path]]:
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def imports(path: Path) -> Iterator[str]:
    """Every module of ours that a file imports, at its top, in a function or for its types."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in OURS)


def refused(module: str, path: Path) -> list[str]:
    """The imports of a module that its room may not make."""
    room = room_of(module)
    if room in ROOT_OF_ALL or room == "feedback_app":
        return []
    allowed = ALLOWED[room]
    return [
        name
        for name in imports(path)
        if room_of(name) != room and not any(name == to or name.startswith(f"{to}.") for to in allowed)
    ]


@pytest.mark.parametrize(("module", "path"), [pytest.param(*pair, id=pair[0]) for pair in modules()])
def test_imports_go_only_where_the_arrows_point(module: str, path: Path) -> None:
    room = room_of(module)
    assert room in ALLOWED or room in ROOT_OF_ALL or room == "feedback_app", f"{room} is in no list: give it arrows"
    assert refused(module, path) == []


def test_a_forbidden_import_is_found(tmp_path: Path) -> None:
    file = tmp_path / "page.py"
    file.write_text("def f():\n    from feedback_app.loop import publish\n")
    assert refused("feedback_app.ui.page", file) == ["feedback_app.loop.publish"]


def test_heavy_libraries_are_not_imported_at_the_top_of_light_modules() -> None:
    """`app` and `worker` run where neither torch nor vLLM is installed."""
    heavy = {"torch", "vllm", "transformers", "trl", "peft", "datasets", "accelerate"}
    found = []
    for module, path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            if heavy & {name.split(".")[0] for name in names} and not module.startswith("alignment.methods"):
                found.append(module)
    assert found == []
