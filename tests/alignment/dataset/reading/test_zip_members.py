"""What stands in a zip archive and is no file that can be read here is said as what it is."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest

from alignment.errors import ReadingProblem
from tests.alignment.dataset.reading.containers import LINES, opened

pytestmark = pytest.mark.slow


def zipped(data: bytes, mode: int = stat.S_IFREG | 0o644) -> bytearray:
    """An archive of one file."""
    member = zipfile.ZipInfo("x.jsonl")
    member.external_attr = mode << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(member, data)
    return bytearray(out.getvalue())


def test_a_link_in_a_zip_is_not_followed_and_not_read_as_text(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(zipped(b"/etc/passwd", stat.S_IFLNK | 0o777))
    with pytest.raises(ReadingProblem, match="a link to a file, which is not followed"):
        opened(path)


def test_an_unknown_packing_in_a_zip_is_no_password(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    data = zipped(LINES)
    data[8] = data[data.find(b"PK\x01\x02") + 10] = 99  # the method, in the file's header and in the directory
    path.write_bytes(data)
    with pytest.raises(ReadingProblem, match="is packed in a way that is not read here"):
        opened(path)
