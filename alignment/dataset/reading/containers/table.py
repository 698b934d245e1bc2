"""Records out of a table of texts: CSV with commas, semicolons, tabs or bars, as spreadsheets and pandas write it.

The header gives the keys as they are. A row that does not fit it is a problem of its own.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TextIO

from alignment.dataset.reading.containers.encoding import ESCAPED
from alignment.dataset.reading.containers.json_text import bad_character, bounded_lines
from alignment.dataset.reading.containers.opened import Limits, Line
from alignment.errors import ReadingProblem

_DELIMITERS = (",", "\t", ";", "|")
_ROWS = 20  # that are looked at
_LONGEST_NAME = 200  # characters of a column's name; what is longer is a sentence


def delimiter_of(text: str) -> str:
    """What separates the cells of a table, by its first rows; "" where the text is no table.

    A table has a header of two names or more, and most of its rows have as many cells as that.
    """
    best, separator = 0, ""
    for delimiter in _DELIMITERS:
        rows = _rows_ahead(text, delimiter)
        if not rows or len(rows[0]) < 2 or not _names(rows[0]):
            continue
        fitting = sum(len(row) == len(rows[0]) for row in rows[1:])
        # A header alone is a table of no rows, unless it reads like a sentence.
        alone = len(rows) == 1 and not any(cell[:1].isspace() or len(cell.split()) > 3 for cell in rows[0])
        if (alone or 0 < len(rows) - 1 <= fitting * 2) and len(rows[0]) * (fitting + 1) > best:
            best, separator = len(rows[0]) * (fitting + 1), delimiter
    return separator


def table_records(file: TextIO, name: str, delimiter: str, limits: Limits) -> Iterator[Line]:
    """The rows of a table. Raises `ReadingProblem` where two columns have one name, or a row is too long."""
    csv.field_size_limit(limits.value)
    reader = csv.reader(_without_hint(bounded_lines(file, name, limits)), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        number = reader.line_num + 1  # of the row's first line
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(number, None, "not a line of CSV", f"is not CSV ({error})")
            continue
        if not any(cells):
            continue
        if header is None:
            header = _header(cells, name)
            continue
        yield _row(header, cells, number)


def _row(header: list[str], cells: list[str], number: int) -> Line:
    if len(cells) < len(header) or any(cells[len(header) :]):
        detail = f"has {len(cells)} cells where the header has {len(header)}"
        return Line(number, None, "not as many cells as the header has", detail)
    if any(map(ESCAPED.search, cells)):
        return Line(number, None, "text that is not UTF-8", "is not UTF-8")
    if any("\x00" in cell for cell in cells):
        return bad_character(number)
    # A column without a name is left out where it is empty: a delimiter at the end of each line makes one.
    return Line(number, {key: cell for key, cell in zip(header, cells, strict=False) if cell or key.strip()})


def _header(cells: list[str], name: str) -> list[str]:
    """The keys; a column without a name after the first such one is called by its place."""
    blank = False
    header = []
    for place, cell in enumerate(cells, 1):
        header.append(f"column {place}" if blank and not cell.strip() else cell)
        blank = blank or not cell.strip()
    twice = [repr(key) for key, times in Counter(header).items() if times > 1]
    if twice:
        raise ReadingProblem(f"{name} has more than one column called {', '.join(twice)}. Rename all but one of them.")
    if any(map(ESCAPED.search, header)):
        raise ReadingProblem(f"{name} has a header that is not UTF-8 (line 1). Save it as UTF-8.")
    return header


def _without_hint(lines: Iterable[str]) -> Iterator[str]:
    """Without the line by which a spreadsheet says what its delimiter is. The numbers of lines stay."""
    for place, line in enumerate(lines):
        yield "\n" if place == 0 and line.strip().lower().startswith("sep=") else line


def _rows_ahead(text: str, delimiter: str) -> list[list[str]]:
    """The first rows that are not blank; what the end of this text cuts off is left out."""
    reader = csv.reader(_without_hint(io.StringIO(text, newline="")), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        rows += islice((row for row in reader if any(row)), _ROWS)
    return rows


def _names(cells: list[str]) -> bool:
    """Whether these may be the names of columns: short, and no sentence that was cut at its commas."""
    named = [cell for cell in cells if cell.strip()]
    if named and named[-1].endswith(".") and any(cell.startswith(" ") for cell in named):
        return False
    return len(named) >= 2 and all(len(cell) <= _LONGEST_NAME and "\n" not in cell for cell in named)
