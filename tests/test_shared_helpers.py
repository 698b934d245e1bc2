"""Tests look at what is public, and what they share lives in modules made for it, not in other tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
FILES = sorted(HERE.rglob("*.py"))
OURS = ("feedback_app", "serving", "alignment", "data", "tests")
# Private names of others that are meant to be overridden, and the public names of tuples and of `os`.
THEIRS = {"_compute_loss", "_prepare_inputs", "_creator", "_exit", "_asdict", "_fields", "_make", "_replace"}


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def pokes(tree: ast.AST) -> Iterator[str]:
    """Uses of a private name of ours, and imports from a test module."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] in OURS:
                if module.split(".")[-1].startswith("test_"):
                    yield f"line {node.lineno}: imports from the tests in {module}"
                yield from (f"line {node.lineno}: {alias.name}" for alias in names if private(alias.name))
            case ast.Attribute(value=value, attr=attr) if private(attr) and attr not in THEIRS:
                if not (isinstance(value, ast.Name) and value.id in ("self", "cls")):
                    yield f"line {node.lineno}: {attr}"
            case ast.Call(func=ast.Attribute(attr="setattr"), args=args):
                names = [each.value for each in args[:2] if isinstance(each, ast.Constant)]
                yield from (f"line {node.lineno}: {name}" for name in names if private(str(name).split(".")[-1]))


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(HERE))) for path in FILES])
def test_no_private_name_is_used_and_no_test_imports_another(path: Path) -> None:
    assert list(pokes(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_each_kind_of_poke_is_seen() -> None:
    lines = (
        "from alignment.stats import _half",
        "from tests.serving.test_client import fake",
        "store.conversations._db",
        "monkeypatch.setattr(doctor, '_imports', None)",
        "monkeypatch.setattr('alignment.stats._half', None)",
    )
    for line in lines:
        assert len(list(pokes(ast.parse(line)))) == 1, line
    assert list(pokes(ast.parse("self._x; os._exit(1); from trl import _y"))) == []
