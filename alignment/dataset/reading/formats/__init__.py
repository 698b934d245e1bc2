"""File formats that feedback is written in: our rows to their records. They are read again by `presets` and `generic`.

Pure: values in, values out; files are written by `exchange`. One module a family says what its format cannot carry. A
writer keeps every value or raises `Skip`, so nothing is changed on the way without being counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from alignment.dataset.reading.detect import detect, reader
from alignment.dataset.reading.feedback import Feedback, Kind, Record, Skip
from alignment.dataset.reading.formats import (
    fastchat,
    hh,
    llama_factory,
    oasst,
    open_webui,
    openai,
    ranked,
    table,
    trl,
    ultrafeedback,
)

__all__ = ["FORMATS", "Feedback", "Format", "Kind", "Record", "Skip", "detect"]


@dataclass(frozen=True, slots=True)
class Format:
    """One format that is written: what of our rows it takes, how a record is written, and how it is read again.

    `ending` is that of written files: a JSON object a line, one JSON array, or a table.
    """

    takes: tuple[Kind, ...]
    write: Callable[[Iterable[Feedback], Counter[str]], Iterator[Record]]
    read: Callable[[Record], list[Feedback]]
    ending: str = "jsonl"


def each(write: Callable[[Feedback], Record]) -> Callable[[Iterable[Feedback], Counter[str]], Iterator[Record]]:
    """A writer of one record for one row; what it cannot carry is counted by reason."""

    def written(rows: Iterable[Feedback], left_out: Counter[str]) -> Iterator[Record]:
        for row in rows:
            try:
                yield write(row)
            except Skip as reason:
                left_out[str(reason)] += 1

    return written


PAIR, MARK, RANKING, VOTE, SHOWN = Kind.PAIR, Kind.MARK, Kind.RANKING, Kind.VOTE, Kind.DEMONSTRATION

WRITERS: Mapping[str, tuple[tuple[Kind, ...], Callable[[Iterable[Feedback], Counter[str]], Iterator[Record]], str]] = {
    "openai-preference": ((PAIR,), each(openai.write_preference), "jsonl"),
    "open-webui": ((MARK,), each(open_webui.write_open_webui), "json"),
    "fastchat": ((VOTE,), each(fastchat.write_fastchat), "jsonl"),
    "oasst": ((RANKING,), oasst.write_oasst, "jsonl"),
    "ultrafeedback": ((RANKING,), each(ultrafeedback.write_ultrafeedback), "jsonl"),
    "ranked": ((RANKING,), each(ranked.write_ranked), "jsonl"),
    "llama-factory": ((PAIR, MARK, SHOWN), each(llama_factory.write_llama_factory), "json"),
    "openai-chat": ((SHOWN,), each(openai.write_chat), "jsonl"),
    "trl-unpaired": ((MARK,), each(trl.write_unpaired), "jsonl"),
    "hh": ((PAIR,), each(hh.write_hh), "jsonl"),
    "trl": ((PAIR,), each(trl.write_trl), "jsonl"),
    "csv": ((PAIR,), each(table.write_csv), "csv"),
}
FORMATS: Mapping[str, Format] = {
    name: Format(takes, write, reader(name), ending) for name, (takes, write, ending) in WRITERS.items()
}
