"""The tables of file formats, from the presets, the readers and the writers themselves.

What a written format keeps is found out by writing and reading it; why rows are left out is read from the calls that
count them.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType

from alignment.dataset.reading import columns, feedback, messages, turns
from alignment.dataset.reading.containers import LIMITS, signs
from alignment.dataset.reading.formats import WRITERS
from alignment.dataset.reading.formats.carried import Part, carried
from alignment.dataset.reading.presets import PRESETS
from docs.tables import table
from feedback_app.exchange.brought_file import LIMITS as BROUGHT
from feedback_app.ui.mounts import LARGEST_FILE


def formats_part() -> str:
    """Every written format: what of our rows it takes, its file, and what it is."""
    rows = []
    for name, (takes, _, ending) in WRITERS.items():
        words = (_module_of(name).__doc__ or "").strip().splitlines()[0]
        kinds = ", ".join(kind.value for kind in takes)
        rows.append([f"`{name}`", kinds, f"`.{ending}`", words])
    return table(["format", "holds", "file", "what it is"], rows)


MODULES = {"openai-preference": "openai", "openai-chat": "openai", "trl-unpaired": "trl", "csv": "table"}
FATES = {True: "kept", False: "lost"}


def _module_of(format: str) -> ModuleType:
    return sys.modules[f"alignment.dataset.reading.formats.{MODULES.get(format, format.replace('-', '_'))}"]


def carried_part() -> str:
    """What each written format keeps, found out by writing and reading it, and what it leaves out and counts."""
    rows = []
    for name in WRITERS:
        fates = carried(name)
        cells = [
            "" if part not in fates else "row left out" if fates[part].reason else FATES[fates[part].kept]
            for part in Part
        ]
        rows.append([f"`{name}`", *cells, "; ".join(reasons_in(_module_of(name)))])
    heads = [part.value.removeprefix("a ") for part in Part]
    return table(["format", *heads, "rows are left out for"], rows)


def reasons_in(module: ModuleType) -> list[str]:
    """The reasons that a module counts what it leaves out under, as they stand in it."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Skip" and node.args
        for words in [node.args[0]] if isinstance(node, ast.Call) and named else _counted(node):
            found.update(dict.fromkeys(_texts(words)))
    return list(found)


def _counted(node: ast.AST) -> list[ast.expr]:
    """The reason of `left_out[reason] += 1`."""
    match node:
        case ast.AugAssign(target=ast.Subscript(value=ast.Name(id="left_out"), slice=words)):
            return [words]
    return []


def _texts(words: ast.expr) -> list[str]:
    """The texts that an expression may be; what is filled in is an ellipsis."""
    match words:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return ["".join(part.value if isinstance(part, ast.Constant) else "…" for part in parts)]
        case ast.IfExp(body=one, orelse=other):
            return [*_texts(one), *_texts(other)]
    return []


def presets_part() -> str:
    """Every format that is known by its keys: who writes it, what reads it, what is kept and what is left out."""
    rows = []
    for preset in PRESETS:
        if preset.columns is not None:
            kept = ", ".join(KEPT[key] for key in preset.columns.paths() if key in KEPT)
            rows.append([preset.tool, f"`{preset.name}`", kept, "", f"`--map {preset.written}`"])
            continue
        module = sys.modules[getattr(preset.read or preset.join, "__module__", "")]
        said = " ".join((module.__doc__ or "").strip().partition("\n\n")[2].split())
        first = (module.__doc__ or "").strip().splitlines()[0]
        path = f"`{module.__name__.replace('.', '/')}.py`"
        rows.append([preset.tool, f"`{preset.name}`", said or first, "; ".join(reasons_in(module)), path])
    return table(["written by", "format", "what is kept", "counted and left out", "read by"], rows)


KEPT = {
    "prompt": "the question",
    "system": "the system prompt",
    "history": "the turns before",
    "tools": "tools",
    "chosen": "the better answer",
    "rejected": "the worse one",
    "a": "one answer",
    "b": "the other",
    "winner": "the verdict",
    "a_wins_if": "the verdict",
    "tie_if": "ties",
    "both_bad_if": "both bad",
    "score_a": "the order of both scores",
    "answer": "the answer",
    "label": "good or bad",
    "answers": "the answers",
    "rank": "their ranks",
    "score": "the order of their scores",
    "rater": "who judged, each as a person of their own",
}


def reasons_part() -> str:
    """Why a record of any format is counted and left out."""
    said = dict.fromkeys(each for module in ANY for each in reasons_in(module))
    return "\n".join(f"- {each}" for each in said)


ANY: tuple[ModuleType, ...] = (feedback, columns, messages, turns)


def containers_part() -> str:
    """What a file may be packed with and hold, by its first bytes, and what is refused by name."""
    rows = [[name, f"`{sign.hex(' ')}`", "unpacked in a process of its own"] for name, sign in signs.PACKED.items()]
    rows += [[name, f"`{sign.hex(' ')}`", "read in a process of its own"] for name, sign in signs.COLUMNS.items()]
    rows += [
        ["JSON lines, JSON", "`{` or `[`", "a record a line, an array, or one object that holds the rows"],
        ["CSV, TSV", "text", "any of the usual delimiters, found out; the first line names the columns"],
        ["a folder", "", "a saved dataset, the parts of one table, or one file"],
    ]
    limits = (
        f"Unpacked, a file may hold {LIMITS.size // 2**30} GiB, one record {LIMITS.value // 2**20} MiB, at most "
        f"{LIMITS.nesting} packings around one another and lists or objects {LIMITS.depth} deep; the process that "
        f"unpacks may take {LIMITS.memory // 2**20} MiB of memory and {LIMITS.processor_s} s of processor time. By the "
        f"page: {LARGEST_FILE // 2**20} MiB, {BROUGHT.size // 2**20} MiB unpacked, {BROUGHT.value // 2**20} MiB a "
        f"record, {BROUGHT.memory // 2**20} MiB of memory, {BROUGHT.processor_s} s."
    )
    return table(["container", "begins with", "how it is read"], rows) + "\n\n" + limits
