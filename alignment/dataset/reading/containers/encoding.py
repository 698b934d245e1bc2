"""How the text of a file is encoded: UTF-8, UTF-16 or UTF-32 with a mark, or a code page where no letter is in doubt.

A file in an old code page does not say in which. Read in the wrong one it has other letters, and nobody would notice
until a model has learned them. So such a text is read only where the Western, Central European, Turkish and Baltic
pages of Windows agree on every letter in it; any other is refused with the line and the command that converts it.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import BinaryIO

from alignment.dataset.reading.containers.opened import MIB
from alignment.errors import ReadingProblem

ESCAPED = re.compile("[\udc80-\udcff]")  # what "surrogateescape" makes of a byte that is not UTF-8
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with the mark of UTF-16, so it is asked first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PAGES = ("cp1252", "cp1250", "cp1254", "cp1257")
_PLAUSIBLE = 10  # characters of UTF-8 for each byte that is none, in a file that is UTF-8 with damaged lines
_BEYOND = re.compile(r"[^\x00-\x7f]")
_RARE = 100  # lines for each that is damaged, in a file that has a few such lines
_WORD = re.compile(r"[^\W\d_]{2,}")
_STRANGE = re.compile(r"[^\W\d_][^\w\x00-\x7f’][^\W\d_]|[a-z][À-Þ]|[^\x00-\x7f‘-”\W]{3}")


def _agreed() -> frozenset[str]:
    """What means the same in all of these pages. Letters below 0xA0 are other letters on systems before Windows."""
    found = set()
    for byte in range(0x80, 0x100):
        signs = {bytes([byte]).decode(page, errors="replace") for page in _PAGES}
        if len(signs) == 1 and signs != {"\ufffd"} and not (byte < 0xA0 and max(signs).isalpha()):
            found |= signs
    return frozenset(found)


_AGREED = _agreed()


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to decode a file, and what to say about it."""

    name: str
    note: str = ""


def encoding_of(file: BinaryIO, name: str, size: int) -> Encoding:
    """The encoding of a whole file, of which a mebibyte is held at a time.

    Where nearly all is UTF-8 it is "utf-8", and the records that are not are problems of their own. Raises
    `ReadingProblem` where no encoding is certain, or on more than `size` bytes.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    line, first, good, bad, damaged, seen = 1, 0, 0, 0, 0, 0
    signs: set[str] = set()
    strange = False
    while chunk := file.read(MIB):
        if not seen:
            for mark, encoding in MARKS:
                if chunk.startswith(mark):
                    return Encoding(encoding)
        seen += len(chunk)
        if seen > size:
            raise ReadingProblem(f"{name} holds more than {size:,} bytes, which is too much for one file. Split it.")
        text = decoder.decode(chunk, final=False)
        if not text.isascii():
            escaped = [found.start() for found in ESCAPED.finditer(text)]
            damaged += sum(ESCAPED.search(each) is not None for each in text.split("\n")) if escaped else 0
            good += len(_BEYOND.findall(text)) - len(escaped)
            bad += len(escaped)
            if escaped:
                first = first or line + text.count("\n", 0, escaped[0])
                western = text.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
                signs |= {sign for sign in set(western) if sign > "\x7f"}
                strange = strange or _strange(western)
        line += text.count("\n")
    if rest := decoder.decode(b"", final=True):  # a character that the end of the file cuts off
        bad, first = bad + len(rest), first or line
        strange = True
    if not bad:
        return Encoding("utf-8")
    if bad * _PLAUSIBLE <= good or damaged * _RARE <= line:
        return Encoding(
            "utf-8", f"Some of this text is not UTF-8 (first in line {first}); those records were left out."
        )
    if not good and signs <= _AGREED and not strange:
        note = f"This text is not UTF-8 (line {first}); it was read as cp1252, of which Latin-1 is a part."
        return Encoding("cp1252", note)
    raise ReadingProblem(
        f"{name} is not UTF-8 (line {first}), and in the encodings that it may have its letters differ. "
        "Convert it from the one it was written in, for example: iconv -f cp1252 -t utf-8 FILE > NEW"
    )


def _strange(text: str) -> bool:
    """Whether there is a word that Western writing does not have: without a plain letter, or with a sign within."""
    words = (word for word in _WORD.findall(text) if not word.isascii())
    return bool(_STRANGE.search(text)) or any(not any(sign.isascii() for sign in word) for word in words)
