"""What a text is called that holds no records."""

from __future__ import annotations

import re

_YAML = re.compile(r"---\s*$|%YAML|- [\w\"'-]+:(\s|$)|[\w\"'-]+:\s*$")
_SHOWN = 60  # characters


def kind_of(text: str) -> str:
    """In words: YAML, or plain text with how it begins."""
    lines = [line for line in text.split("\n", 200) if line.strip() and not line.lstrip().startswith("#")]
    first = lines[0].rstrip() if lines else text.strip()
    if _YAML.match(first):
        return "YAML"
    start = "".join(sign if sign.isprintable() else " " for sign in first[:_SHOWN].strip())
    return f"plain text, without records or columns (it begins with {start!r})"
