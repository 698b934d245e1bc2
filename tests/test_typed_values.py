"""Public functions hand typed values to each other; an untyped dict is for the edge where JSON comes in or goes out.

An untyped dict is `dict`, `Mapping` or `MutableMapping` alone or with values of `Any` or `object`, anywhere in the
annotation of a parameter or of what comes back, also behind an alias. A dict of one kind of value (`dict[str, int]`) is
typed, and so is a TypedDict, which is for what goes out as JSON, or came in as it and was checked.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("alignment", "serving", "feedback_app")
DICTS = {"dict", "Dict", "Mapping", "MutableMapping"}
ANYTHING = {"Any", "object"}

MOST = 4  # of those that are no edge; this number only ever becomes smaller

# Each edge with what comes in or goes out there. A name that ends in a dot is a package: everything in it is one.
EDGES = {
    "alignment.dataset.reading.": "a line of a file of other people's tools, in whatever shape they write it",
    "alignment.dataset.row_files.": "a line of a dataset's JSONL, as it is read",
    "alignment.dataset.rows.to_record": "a row as a line of JSONL",
    "alignment.dataset.compile.snapshot_writer.judgement_record": "a judgement as a line of JSONL",
    "alignment.dataset.tables.TableWriter.add": "writes a line of JSONL",
    "alignment.dataset.parquet.ParquetWriter.add": "writes the same as a row of Parquet",
    "serving.client.VllmClient.tokenize": "messages of a body to vLLM",
    "serving.client.VllmClient.chat": "a body to vLLM, and its reply",
    "serving.client.VllmClient.stream": "a body to vLLM",
    "serving.client.SseLines.feed": "replies of vLLM",
    "feedback_app.api.amounts.measured": "the body of a chat completion",
    "feedback_app.api.calls.read_call": "the body of a page's call, checked for Gradio",
    "feedback_app.api.calls.read_join": "the body of a page's call, checked for Gradio",
    "feedback_app.api.door.Door.models": "the reply to /v1/models",
    "feedback_app.api.door.read_request": "the body of a chat completion",
    "feedback_app.api.feedback.full_verdict": "the verdict in the body of /v1/feedback",
    "feedback_app.api.fields.read_fields": "the body of a chat completion",
    "feedback_app.api.messages.read_messages": "the messages in the body of a chat completion",
    "feedback_app.api.openai_errors.error_body": "the body of an error",
    "feedback_app.api.plain_completions.": "the body of /v1/completions",
    "feedback_app.processes.output.Output.done": "prints a command's JSON",
    "feedback_app.processes.output.Output.failed": "prints a command's JSON",
}


class Module:
    """A module's functions, and the aliases that can be seen in it."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.aliases = dict(_aliases(self.tree))
        self.imported = {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }


def _aliases(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Names at a module's top (or there for types alone) that stand for a type with parts, and what they stand for."""
    for_types = (node.body for node in tree.body if isinstance(node, ast.If))
    for node in (*tree.body, *chain.from_iterable(for_types)):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))


MODULES = {
    name.removesuffix(".__init__"): Module(name.removesuffix(".__init__"), path)
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    for name in [".".join(path.relative_to(ROOT).with_suffix("").parts)]
}


def untyped(annotation: ast.expr | None, module: Module, seen: frozenset[tuple[str, str]] = frozenset()) -> bool:
    """Whether an untyped dict stands anywhere in an annotation of this module."""
    match annotation:
        case None:
            return False
        case ast.Constant(value=str() as text):
            return untyped(ast.parse(text, mode="eval").body, module, seen)
        case ast.Subscript(value=of, slice=parts):
            inside = parts.elts if isinstance(parts, ast.Tuple) else [parts]
            if _last(of) in DICTS:
                return _last(inside[-1]) in ANYTHING or any(untyped(part, module, seen) for part in inside)
            return untyped(of, module, seen) or any(untyped(part, module, seen) for part in inside)
        case ast.Name(id=name):
            return name in DICTS or _alias_is(name, module, seen)
    return any(untyped(part, module, seen) for part in ast.iter_child_nodes(annotation) if isinstance(part, ast.expr))


def _last(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _alias_is(name: str, module: Module, seen: frozenset[tuple[str, str]]) -> bool:
    if (module.name, name) in seen:
        return False
    seen |= {(module.name, name)}
    if name in module.aliases:
        return untyped(module.aliases[name], module, seen)
    there, known_as = module.imported.get(name, ("", ""))
    return there in MODULES and _alias_is(known_as, MODULES[there], seen)


def public(body: list[ast.stmt], before: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The public functions of a module or class, with their names."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public(node.body, f"{before}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield before + node.name, node


def annotations(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr | None]:
    told = node.args
    for parameter in (*told.posonlyargs, *told.args, *told.kwonlyargs, told.vararg, told.kwarg):
        if parameter is not None:
            yield parameter.annotation
    yield node.returns


def found(module: Module) -> list[str]:
    """The public functions of a module that take or give an untyped dict."""
    return [
        f"{module.name}.{name}"
        for name, node in public(module.tree.body)
        if any(untyped(annotation, module) for annotation in annotations(node))
    ]


FOUND = [name for module in MODULES.values() for name in found(module)]


def edge_of(name: str) -> str | None:
    return next((edge for edge in EDGES if name == edge or (edge.endswith(".") and name.startswith(edge))), None)


def test_no_more_public_functions_than_before_pass_an_untyped_dict() -> None:
    inside = [name for name in FOUND if edge_of(name) is None]
    assert len(inside) == MOST, f"{len(inside)} pass an untyped dict, MOST says {MOST}: {', '.join(inside)}"


def test_every_edge_is_one() -> None:
    assert {edge_of(name) for name in FOUND} - {None} == set(EDGES)


@pytest.mark.parametrize(
    ("source", "is_one"),
    [
        ("def f(a: dict[str, Any]) -> None: ...", True),
        ("def f() -> list[Mapping[str, object]] | None: ...", True),
        ("def f(a: dict) -> None: ...", True),
        ("def f(a: 'dict[str, Any]') -> None: ...", True),
        ("def f(*a: dict[str, Any]) -> None: ...", True),
        ("def f(a: Callable[[Mapping[str, Any]], None]) -> None: ...", True),
        ("def f(a: dict[str, list[dict[str, Any]]]) -> None: ...", True),
        ("Record = dict[str, Any]\ndef f(a: Record) -> None: ...", True),
        ("Record = dict[str, Any]\nRecords = list[Record]\nclass A:\n    async def f(self) -> Records: ...", True),
        ("def f(a: dict[str, int], b: Mapping[str, list[str]], c: Any, d: list[Any]) -> set[str]: ...", False),
        ("def _f(a: dict[str, Any]) -> None: ...", False),
        ("class _A:\n    def f(self, a: dict[str, Any]) -> None: ...", False),
        ("def f(a: int) -> None:\n    def g(b: dict[str, Any]) -> None: ...", False),
    ],
)
def test_what_counts_as_untyped(tmp_path: Path, source: str, is_one: bool) -> None:
    path = tmp_path / "some.py"
    path.write_text(source)
    assert bool(found(Module("some", path))) is is_one


def test_an_alias_is_followed_into_the_module_that_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "some.py"
    path.write_text(
        "from alignment.dataset.reading.feedback import Record as Row\n"
        "from alignment.files import Fingerprint\n"
        "def f(a: Row) -> None: ...\n"
        "def g(a: Fingerprint) -> None: ...\n"
    )
    assert found(Module("some", path)) == ["some.f"]
