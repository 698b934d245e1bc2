"""What a file is, by its first bytes. Names are not looked at: people rename, and tools forget the ending."""

from __future__ import annotations

HEAD = 4096  # bytes that every sign fits in

# Compressions, which are unpacked in a process of their own.
PACKED = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd", "bz2": b"BZh", "xz": b"\xfd7zXZ\x00", "zip": b"PK\x03\x04"}
# Tables in columns, which pyarrow reads there too.
COLUMNS = {"parquet": b"PAR1", "arrow": b"ARROW1", "arrow stream": b"\xff\xff\xff\xff"}

# What nothing here reads, and what it is called.
_REFUSED = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the file itself: fetch it with git lfs pull"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"PARE", "an encrypted parquet file"),
    (b"FEA1", "a Feather file of version 1"),
    (b"%PDF-", "a PDF"),
    (b"\x89PNG", "an image (PNG)"),
    (b"\xff\xd8\xff", "an image (JPEG)"),
    (b"GIF8", "an image (GIF)"),
    (b"RIFF", "an image, a sound or a film (RIFF)"),
    (b"\x7fELF", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC", "an ORC file"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (xls, doc)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x04\x22\x4d\x18", "compressed with lz4"),
    (b"\x1f\x9d", "compressed with compress"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"<!DOCTYPE", "a web page"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "XML"),
    (b"{\\rtf", "a text with formatting (RTF)"),
)
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def packed_with(head: bytes) -> str:
    """The compression of a file, or "" where there is none that is known."""
    found = next((name for name, sign in PACKED.items() if head.startswith(sign)), "")
    return "" if found == "bz2" and not head[3:4].isdigit() else found


def columns_of(head: bytes) -> str:
    """Which table in columns this is, or ""."""
    return next((name for name, sign in COLUMNS.items() if head.startswith(sign)), "")


def refused_as(head: bytes) -> str:
    """What a file is that nothing here reads, in words; "" where it may be text."""
    for sign, words in _REFUSED:
        if head.startswith(sign):
            return words
    if head[257:262] == b"ustar":
        return "a tar archive"
    if head.startswith(_MARKS):
        return ""
    text = head.lstrip(b" \t\r\n")
    if text[:9].lower().startswith((b"<!doctype", b"<html")):
        return "a web page"
    half = len(head) // 2
    if half and max(head[::2].count(0), head[1::2].count(0)) > half // 2 and head.count(0) <= half + 1:
        return "a text in UTF-16 without the mark that says so: save it as UTF-8"
    return "no text" if _odd(head) else ""


def _odd(head: bytes) -> bool:
    # Text has next to no control characters; one that was damaged has a few, and those lines are counted later.
    controls = sum(head.count(sign) for sign in {*range(32)} - {9, 10, 12, 13, 27})
    return controls * 20 > len(head)
