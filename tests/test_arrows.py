"""The rooms import each other only in the directions that docs/architecture.md draws, and never in a circle."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("feedback_app", "serving", "alignment")

# What everybody may import, `serving` too: the ground floor of `alignment`; and the product's words and errors, which
# `serving` and `alignment` may not. All of it is the standard library alone, and takes milliseconds.
FLOOR = {
    *("alignment.errors", "alignment.files", "alignment.processes"),
    *("alignment.records", "alignment.stats", "alignment.system_text", "alignment.terms"),
}
GROUND = FLOOR | {"feedback_app.domain", "feedback_app.errors"}
CLIENT = {"serving.client", "serving.errors", "serving.model_check"}
METHOD = {"alignment.methods.card", "alignment.methods.shared_training", "alignment.dataset", "alignment.stage"}
ONLINE = METHOD | {"alignment.methods.online"}

# Who may import what beside the ground. A room is the longest name here that a module begins with; a module that no
# name fits has no room, and that is refused too.
ALLOWED: dict[str, set[str]] = {
    "serving": set(),
    "alignment": set(),
    "alignment.errors": set(),
    "alignment.files": set(),
    "alignment.processes": set(),
    "alignment.records": set(),
    "alignment.stats": set(),
    "alignment.system_text": set(),
    "alignment.terms": set(),
    "alignment.run": {"alignment.methods.registry", "alignment.stage"},
    "alignment.dataset": set(),
    "alignment.dataset.compile": {"alignment.dataset"},
    "alignment.dataset.reading": {"alignment.dataset"},
    "alignment.stage": {"alignment.dataset"},
    "alignment.evaluation": {"alignment.dataset", "alignment.stage"},
    "alignment.suspects": {"alignment.dataset", "alignment.methods.shared_training"},
    "alignment.methods": set(),
    "alignment.methods.card": {"alignment.dataset", "alignment.stage"},
    "alignment.methods.registry": {"alignment.methods", "alignment.dataset", "alignment.stage"},
    "alignment.methods.shared_training": {"alignment.dataset", "alignment.stage"},
    "alignment.methods.online": METHOD - {"alignment.methods.card"} | {"alignment.evaluation"},
    "alignment.methods.pretrain": METHOD,
    "alignment.methods.sft": METHOD | {"alignment.methods.pretrain"},
    "alignment.methods.dpo": METHOD,
    "alignment.methods.kto": METHOD,
    "alignment.methods.reward": METHOD,
    "alignment.methods.ppo": ONLINE | {"alignment.evaluation"},
    "alignment.methods.rloo": ONLINE,
    "alignment.methods.grpo": ONLINE,
    "alignment.methods.online_dpo": ONLINE,
    "alignment.methods.constitution": ONLINE,
    "feedback_app": set(),
    "feedback_app.domain": FLOOR,
    "feedback_app.errors": {"alignment.errors"},  # the product's errors grow on the same trunk
    "feedback_app.key_values": set(),
    "feedback_app.home_model": {"serving.named_models"},
    "feedback_app.settings": {"feedback_app.home_model", "serving.named_models"},
    "feedback_app.prompt_sets": {"alignment.dataset.reading.prompts", "feedback_app.settings"},
    "feedback_app.private": set(),
    "feedback_app.store": {"alignment.dataset", "feedback_app.private"},
    "feedback_app.heartbeat": {"feedback_app.store", "serving.group"},
    "feedback_app.collect": {
        "alignment.dataset.reading.prompts",
        "feedback_app.settings",
        "feedback_app.store",
        *CLIENT,
    },
    "feedback_app.parts": {"feedback_app.collect", "feedback_app.settings", "feedback_app.store", *CLIENT},
    "feedback_app.ui": {
        "alignment.methods.registry",
        "feedback_app.settings",
        "feedback_app.parts",
        "feedback_app.heartbeat",
        "feedback_app.collect",
        "feedback_app.exchange.brought_file",  # what is shown of a file before it is imported
        "feedback_app.exchange.importing",
        "feedback_app.store.database",  # handed through to collect
        "feedback_app.store.tables",  # the rows that come back
    },
    "feedback_app.api": {
        "feedback_app.settings",
        "feedback_app.parts",
        "feedback_app.collect",
        "feedback_app.exchange.brought_file",  # an operator's file
        "feedback_app.store.database",
        "feedback_app.store.tables",
        "feedback_app.ui",  # the app mounts the pages
        "serving",
    },
    "feedback_app.exchange": {
        "feedback_app.collect",
        "feedback_app.store",
        "feedback_app.loop",  # exports are what a round would train on
        "alignment.dataset",
    },
    "feedback_app.loop": {
        "feedback_app.key_values",
        "feedback_app.prompt_sets",
        "feedback_app.settings",
        "feedback_app.store",
        "feedback_app.heartbeat",
        "serving",
        "alignment",
    },
    "feedback_app.simulate": {
        "alignment.dataset.reading.prompts",
        "feedback_app.settings",
        "feedback_app.store",
        "feedback_app.collect",
        "alignment.evaluation.tastes",
    },
}
# They wire everything together, and nothing else may import them.
MAY_IMPORT_ANYTHING = ("feedback_app.__main__", "feedback_app.commands", "feedback_app.processes")


def within(module: str, rooms: Mapping[str, object] | set[str] | tuple[str, ...]) -> str | None:
    """The longest of these names that the module is or lies in."""
    fitting = [room for room in rooms if module == room or module.startswith(f"{room}.")]
    return max(fitting, key=len, default=None)


def room_of(module: str) -> str | None:
    """The room of a module. A package itself is a room of its own only where it is listed: its `__init__`."""
    found = within(module, {*ALLOWED, *MAY_IMPORT_ANYTHING})
    # The packages and `alignment.methods` are listed for their own `__init__` alone.
    return None if found in (*OURS[::2], "alignment.methods") and found != module else found


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
    if room in MAY_IMPORT_ANYTHING:
        return []
    assert room is not None, f"{module} is in no room: give it arrows"
    allowed = ALLOWED[room] | GROUND
    if room.startswith(("serving", "alignment")):
        allowed -= GROUND - FLOOR
    if room in GROUND:  # the ground imports nothing but what its own rule names
        allowed = ALLOWED[room]
    found = []
    for name in imports(path):
        target = room_of(name) or name
        inside = target == room or (within(name, allowed) is not None and target not in MAY_IMPORT_ANYTHING)
        if not inside:
            found.append(name)
    return found


@pytest.mark.parametrize(("module", "path"), [pytest.param(*pair, id=pair[0]) for pair in modules()])
def test_imports_go_only_where_the_arrows_point(module: str, path: Path) -> None:
    assert refused(module, path) == []


def test_every_rule_names_a_room_that_exists() -> None:
    existing = {name for name, _ in modules()}
    named = {*ALLOWED, *MAY_IMPORT_ANYTHING, *GROUND, *(to for targets in ALLOWED.values() for to in targets)}
    assert {name for name in named if name not in existing} == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = dict(modules())
    arrows: defaultdict[str, set[str]] = defaultdict(set)
    for module, path in names.items():
        for name in imports(path):
            target = name if name in names else name.rpartition(".")[0]
            if target in names and target != module:
                arrows[module].add(target)
    assert circle(arrows) == []


def circle(arrows: Mapping[str, set[str]]) -> list[str]:
    """One circle of these arrows, as a path that ends where it began; empty when there is none."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for target in sorted(arrows.get(module, ())):
            if found := walk(target, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(arrows) if (found := walk(module, []))), [])


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("feedback_app.ui.page", "from feedback_app.loop import publish"),
        ("feedback_app.loop.rounds", "from feedback_app.processes import wiring"),
        ("alignment.stage.runner", "from alignment.methods import registry"),
        ("alignment.methods.dpo.train", "from alignment.methods.kto import train"),
        ("alignment.dataset.rows", "from alignment.dataset.compile import pairs"),
        ("alignment.dataset.rows", "from feedback_app.errors import UsageError"),
        ("serving.client", "from alignment.stage.spec import StageSpec"),
        ("serving.client", "from feedback_app.errors import UsageError"),
        ("alignment.files", "from alignment.errors import StageError"),
        ("alignment.dataset.rows", "from feedback_app.domain.rounds import RoundStatus"),
        ("feedback_app.domain.votes", "from alignment.evaluation.gate import Verdict"),
        ("feedback_app.domain.votes", "from feedback_app.errors import UsageError"),
    ],
)
def test_a_forbidden_import_is_found(module: str, line: str, tmp_path: Path) -> None:
    file = tmp_path / "page.py"
    file.write_text(f"def f():\n    {line}\n")
    assert len(refused(module, file)) == 1


def test_heavy_libraries_are_not_imported_at_the_top_of_light_modules() -> None:
    """`app` and `worker` run where neither torch nor vLLM is installed."""
    heavy = {"torch", "vllm", "transformers", "trl", "peft", "datasets", "accelerate"}
    light = ("card", "settings", "registry", "scale")  # what a card reads, whose method trains with them
    inside = "serving.vllm_lora_by_adapter"  # vLLM imports it, by name, in the process that computes
    found = []
    for module, path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            assert inside not in names, f"{module} would import vLLM"
            trains = module.startswith("alignment.methods") and module.rpartition(".")[2] not in light
            if heavy & {name.split(".")[0] for name in names} and not trains and module != inside:
                found.append(module)
    assert found == []
