"""The generated parts of these pages: tables of settings, commands, methods, formats and code paths.

    python -m docs.generate --check    # prints what differs, exit 1 if anything does
    python -m docs.generate --write

A part stands between `<!-- generated NAME -->` and `<!-- end -->` and is made from the code, so it is never edited by
hand; what stands around it is. Line numbers may be off by `DRIFT` lines before a page counts as stale: a page need not
be made again for every edit of every file that it names. Tables of studies are made by `tests.long.tables`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from docs.code_paths import NAMES, NoSuchName, code_path, finder
from docs.commands import commands_part, targets_part
from docs.format_tables import carried_part, containers_part, formats_part, presets_part, reasons_part
from docs.methods_parts import CARDS, method_part, methods_part
from docs.tables import settings_part

DOCS = Path(__file__).resolve().parent
DRIFT = 25
_PART = re.compile(r"(<!-- generated ([\w -]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_PLACE = re.compile(r"(\.py):(\d+)")

PARTS: Mapping[str, Callable[[], str]] = {
    "settings": settings_part,
    "commands": commands_part,
    "targets": targets_part,
    "formats": formats_part,
    "carried": carried_part,
    "containers": containers_part,
    "presets": presets_part,
    "reasons": reasons_part,
    "methods": methods_part,
    "finder": finder,
    **{f"method {name}": partial(method_part, name) for name in CARDS},
    **{f"path {name}": partial(code_path, name) for name in NAMES},
}


class MissingPart(Exception):
    """A page that should hold a generated part does not exist or does not hold it."""


def pages() -> list[Path]:
    """Every page."""
    return sorted(DOCS.rglob("*.md"))


def filled(text: str) -> str:
    """A page with its generated parts as the code says today. Raises `MissingPart` on a part that is none."""

    def fill(found: re.Match[str]) -> str:
        if found[2] not in PARTS:
            raise MissingPart(f"No part is called {found[2]!r}; the parts are {', '.join(PARTS)}.")
        return f"{found[1]}\n{PARTS[found[2]]()}\n\n{found[3]}"

    return _PART.sub(fill, text)


def unplaced() -> list[str]:
    """A sentence for every part that stands on no page."""
    placed = {found[2] for page in pages() for found in _PART.finditer(page.read_text(encoding="utf-8"))}
    return [_where(name) for name in PARTS if name not in placed]


def _where(name: str) -> str:
    kind, _, rest = name.partition(" ")
    if kind == "method":
        return (
            f"The method {rest} has no page: write docs/methods/{rest}.md (what it does, when to take it, its source) "
            f"with the lines <!-- generated {name} --> and <!-- end -->, and name it in mkdocs.yml."
        )
    return f"No page holds <!-- generated {name} -->."


def differs(old: str, new: str) -> bool:
    """Whether a page is stale: other text, or a line number that is off by more than `DRIFT`."""
    if _PLACE.sub(r"\1", old) != _PLACE.sub(r"\1", new):
        return True
    lines = zip(_PLACE.findall(old), _PLACE.findall(new), strict=True)
    return any(abs(int(one) - int(other)) > DRIFT for (_, one), (_, other) in lines)


def stale(*, exactly: bool = False) -> Iterator[tuple[Path, str]]:
    """Pages whose generated parts are not what the code says, with what they should be; `exactly`: to the line."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        made = filled(text)
        if text != made if exactly else differs(text, made):
            yield page, made


def main(words: Sequence[str]) -> int:
    """Write, or say what is stale."""
    problems = unplaced()
    try:
        for page, made in list(stale(exactly="--write" in words)):
            name = page.relative_to(DOCS.parent)
            if "--write" in words:
                page.write_text(made, encoding="utf-8")
                print(f"wrote {name}")
            else:
                problems.append(f"{name} is stale: python -m docs.generate --write")
    except (MissingPart, NoSuchName) as error:
        problems.append(str(error))
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
