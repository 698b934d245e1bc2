"""What of a person's text can be stored: everything but what no database keeps."""

from __future__ import annotations


def clean(text: str) -> str:
    """The text without NUL characters (PostgreSQL refuses them) and halves of surrogate pairs (not UTF-8)."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
