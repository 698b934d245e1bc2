"""`python -m alignment.dataset.reading.containers.unpack ORDER`: the child of `apart`.

It opens files that somebody else made with code that is not written for enemies (decompression, pyarrow). So it holds
itself to limits of memory, processor time and output, and writes to its standard output alone: a line that says what
follows, then the bytes of a text, or rows as JSON lines.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import resource
import stat
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from alignment.dataset.reading.containers.apart import REFUSED, SAYS
from alignment.dataset.reading.containers.opened import MIB, Limits
from alignment.dataset.reading.containers.signs import columns_of, packed_with
from alignment.processes import die_with_parent

_CHUNK = 1 << 18
_INFLATED: dict[str, Callable[[BinaryIO], Any]] = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}
_OFFICE = ("xl/", "word/", "ppt/")
_BROKEN = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError, ValueError, NotImplementedError)


class Refused(Exception):
    """Why a file is not read: the rest of a sentence that begins with its name."""


class Output:
    """Standard output, with what may leave: no more than the limits allow for what the files hold."""

    def __init__(self, packed: int, limits: Limits) -> None:
        self._file = sys.stdout.buffer
        self._packed, self._limits, self._sent = packed, limits, 0

    def header(self, container: str) -> None:
        """Say what follows."""
        self._file.write(json.dumps({"container": container}).encode() + b"\n")

    def count(self, size: int) -> None:
        """Raise `Refused` where this much more is too much."""
        self._sent += size
        if self._sent > self._limits.size:
            raise Refused(f"unpacks to more than {self._limits.size:,} bytes, which is too much. Split it.")
        if self._sent > max(self._limits.ratio_from, self._limits.ratio * self._packed):
            raise Refused(
                f"unpacks to more than {self._limits.ratio} times its size, as only a file does that is made to fill "
                "memory. Unpack it yourself if you trust it."
            )

    def send(self, data: bytes) -> None:
        """Write, within the limits."""
        self.count(len(data))
        self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def main(arguments: list[str]) -> int:
    """Unpack what the order names; the exit code says whether all of it was."""
    die_with_parent()
    order = json.loads(arguments[0])
    limits = Limits(**order["limits"])
    files = [Path(file) for file in order["files"]]
    hold_memory(limits)
    resource.setrlimit(resource.RLIMIT_CPU, (limits.processor_s, limits.processor_s + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = Output(sum(file.stat().st_size for file in files), limits)
    try:
        for place, file in enumerate(files):
            with file.open("rb") as opened:
                _unpack(opened, out, limits, first=place == 0)
        out.flush()
    except Refused as problem:
        return _say(str(problem))
    except BrokenPipeError:  # nobody reads any more
        os._exit(0)
    except MemoryError:
        return _say(f"needs more than {limits.memory // MIB:,} MiB of memory to read. Split it.")
    return 0


def hold_memory(limits: Limits) -> None:
    """Hold this process to its memory: what it has now, and what a file may take."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform.startswith("linux") else 0
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + limits.memory, resource.RLIM_INFINITY))


def _say(sentence: str) -> int:
    print(f"\n{SAYS}{' '.join(sentence.split())}", file=sys.stderr, flush=True)
    return REFUSED


def _unpack(file: BinaryIO, out: Output, limits: Limits, *, first: bool) -> None:
    layers: list[str] = []
    while packing := packed_with(_peek(file)):
        if len(layers) == limits.nesting:
            raise Refused(f"is compressed more than {limits.nesting} times over. Unpack it first.")
        layers.append(packing)
        file = _opened(file, packing, out, limits)
    try:
        columns = columns_of(_peek(file))
        if columns:
            from alignment.dataset.reading.containers import columns as tables

            hold_memory(limits)  # pyarrow has come in
            if first:
                out.header(columns.split()[0])
            for line in tables.rows(file if not layers else _spooled(file, out), columns):
                out.send(line)
        else:
            out.header("")
            while chunk := file.read(_CHUNK):
                out.send(chunk)
    except BrokenPipeError:
        raise
    except _BROKEN as error:
        kind = layers[-1] if layers else columns
        raise Refused(f"is not a whole {kind} file ({_short(error)}). Fetch or write it again.") from error


def _short(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0][:200].rstrip(".")


def _peek(file: BinaryIO) -> bytes:
    try:
        return cast(io.BufferedReader, file).peek(64)
    except _BROKEN as error:
        raise Refused(f"cannot be unpacked ({_short(error)}). Fetch or write it again.") from error


def _opened(file: BinaryIO, packing: str, out: Output, limits: Limits) -> BinaryIO:
    raw: Any
    match packing:
        case "gzip" | "bz2" | "xz":
            raw = _INFLATED[packing](file)
        case "zip":
            raw = _member(file if file.seekable() else _spooled(file, out))
        case _:
            import pyarrow as pa

            hold_memory(limits)
            raw = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
    return cast(BinaryIO, io.BufferedReader(raw, MIB))


def _spooled(file: BinaryIO, out: Output) -> BinaryIO:
    """The same bytes in a file without a name, where one can seek."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as this process needs it
    while chunk := file.read(_CHUNK):
        out.count(len(chunk))
        spool.write(chunk)
    spool.seek(0)
    return cast(BinaryIO, spool)


def _member(file: BinaryIO) -> Any:
    try:
        archive = zipfile.ZipFile(file)
    except _BROKEN as error:
        raise Refused(f"is not a whole zip archive ({_short(error)}). Fetch or write it again.") from error
    names = [info.filename for info in archive.infolist() if not info.is_dir() and not _hidden(info.filename)]
    if "[Content_Types].xml" in names and any(name.startswith(_OFFICE) for name in names):
        kind = "an Excel workbook (xlsx)" if any(name.startswith("xl/") for name in names) else "an Office document"
        raise Refused(f"is {kind}. Save its sheet as CSV (UTF-8) and name that.")
    if len(names) != 1:
        raise Refused(f"is a zip archive of {_listed(names)}. Unpack it and name one file.")
    if stat.S_ISLNK(archive.getinfo(names[0]).external_attr >> 16):
        raise Refused("is a zip archive of a link to a file, which is not followed. Name the file itself.")
    try:
        return archive.open(names[0])
    except NotImplementedError as error:  # which is a RuntimeError too
        raise Refused(f"is packed in a way that is not read here ({_short(error)}). Unpack it yourself.") from error
    except RuntimeError as error:
        raise Refused("is a zip archive with a password. Unpack it and name the file.") from error
    except _BROKEN as error:
        raise Refused(f"is not a whole zip archive ({_short(error)}). Fetch or write it again.") from error


def _hidden(name: str) -> bool:
    """What macOS and others put beside the files that were meant."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")


def _listed(names: Sequence[str], most: int = 10) -> str:
    if not names:
        return "no file at all"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} files ({', '.join(name[:100] for name in names[:most])}{more})"


def _end(code: int) -> NoReturn:
    """End at once: what threads of pyarrow's still do must not meet an interpreter that takes itself apart."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads any more
        pass
    os._exit(code)


if __name__ == "__main__":
    _end(main(sys.argv[1:]))
