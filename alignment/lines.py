"""Lines of text files: a line ends at a line feed (with or without a carriage return), and nowhere else.

`str.splitlines` also breaks at U+2028, U+0085 and others, which are ordinary text within a JSON string: one such
letter in one message would make two broken lines of a good one. Everything here that reads lines reads them so.
Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def lines_of(text: str) -> list[str]:
    """The lines of a text, without their ends; what follows the last end is a line only when it is not empty."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file that are not blank, with their numbers from 1; a byte order mark is left out.

    Raises `OSError` or `UnicodeDecodeError` on a file that cannot be read.
    """
    for number, line in enumerate(lines_of(path.read_text(encoding="utf-8-sig")), start=1):
        if line.strip():
            yield number, line
