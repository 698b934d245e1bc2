"""The model that a home was begun with: recorded in it, and never changed by a default or a variable alone.

Every trained version belongs to its base. Were the base exchanged by the way, none of them could be served any more.
So the record wins over a changed default, a variable that says otherwise is refused, and `alignloop model use` changes
it, saying first what becomes of the versions.
"""

from __future__ import annotations

import json
from pathlib import Path

from alignment.files import write_whole
from serving.named_models import NAMES, TINY

RECORD = "model.json"
DEFAULT = TINY
"""What a new home begins with."""
BEGUN = ("alignloop.db", "versions")
"""What only a home that was used has. One from before the record began with `tiny`, unless a variable said else."""


def recorded(home: Path) -> str:
    """The model that this home was begun with; empty for a new home, and for one from before the record."""
    try:
        return str(json.loads((home / RECORD).read_text(encoding="utf-8"))["model"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def model_of(home: Path) -> str:
    """The model of a home where no variable names one: as recorded, else the default of when it was begun."""
    return recorded(home) or (TINY if any((home / name).exists() for name in BEGUN) else DEFAULT)


def record(home: Path, model: str, weights_hash: str) -> None:
    """Keep what this home serves: the model by name, or a folder by its full path, and the SHA-256 of its weights."""
    folder = Path(model).expanduser()
    named = str(folder.resolve()) if model not in NAMES and folder.is_dir() else model
    text = json.dumps({"model": named, "weights_hash": weights_hash}) + "\n"
    path = home / RECORD
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_whole(path, text)
