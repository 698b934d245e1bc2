"""Files that are unpacked or decoded in a process of their own, so that a crafted one ends that process and not ours.

The child (`unpack`) ends with us, holds itself to the limits, and sends either the text of a file or its rows as JSON
lines through a pipe. What goes wrong there is said here, in one sentence.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from alignment.dataset.reading.containers.opened import MIB, Limits
from alignment.errors import ReadingProblem

REFUSED = 3  # the child's exit code when it says itself why
SAYS = "refused: "  # how that line begins
_MODULE = "alignment.dataset.reading.containers.unpack"
_ROOT = Path(__file__).resolve().parents[4]
_BROKEN = "It is damaged, or made to do that. Write it again with the tool that it comes from."


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What the child sends: the bytes of a text, or rows as JSON lines, where a list is a problem and its detail.

    `container` names the table that the rows come from; "" is a text.
    """

    container: str
    stream: BinaryIO


@contextmanager
def unpacked(files: Sequence[Path], name: str, limits: Limits) -> Iterator[Unpacked]:
    """Unpack a file, or read several that are one table. The child ends with the context.

    Raises `ReadingProblem`, also from the stream, whose end is only reached when the child ended well. Enter it in a
    thread that outlives it: the kernel ends the child with the thread that began it.
    """
    order = json.dumps({"files": [str(file.resolve()) for file in files], "limits": dataclasses.asdict(limits)})
    quiet = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "PYTHONPATH": _search_path()}
    with tempfile.TemporaryFile() as complaints:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, order],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=os.environ | quiet,
        )
        pipe = _Checked(cast(BinaryIO, child.stdout), child, complaints, name, limits)
        try:
            stream = io.BufferedReader(pipe, MIB)
            header = stream.readline(4096)
            yield Unpacked(json.loads(header)["container"], cast(BinaryIO, stream))
        finally:
            child.kill()
            child.wait()
            cast(BinaryIO, child.stdout).close()


def _search_path() -> str:
    return os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH", ""))))


class _Checked(io.RawIOBase):
    """The child's pipe. Where it ends, the child has to have ended well."""

    def __init__(
        self, pipe: BinaryIO, child: subprocess.Popen[bytes], complaints: IO[bytes], name: str, limits: Limits
    ) -> None:
        self._pipe, self._child, self._complaints, self._name, self._limits = pipe, child, complaints, name, limits

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        count = self._pipe.readinto(buffer)  # type: ignore[attr-defined]  # a BufferedReader has it
        if not count and (code := self._child.wait()):
            raise ReadingProblem(f"{self._name} {self._why(code)}")
        return int(count)

    def _why(self, code: int) -> str:
        if code == -signal.SIGXCPU:
            return f"takes more than {self._limits.processor_s} s of processor time to read. Split it."
        if code == REFUSED:
            self._complaints.seek(0)
            lines = self._complaints.read().decode(errors="replace").splitlines()
            said = next((line for line in reversed(lines) if line.startswith(SAYS)), "")
            return said.removeprefix(SAYS) or f"cannot be read. {_BROKEN}"
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"ended the process that read it ({how}). {_BROKEN}"
