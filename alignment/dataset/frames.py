"""A dataset as pandas frames, for notebooks and reports: what people said, and the rows made of it.

    from alignment.dataset.frames import read_snapshot
    frames = read_snapshot(Path(".alignloop/snapshots/…"))
    frames.pairs.groupby("origin")["weight"].sum()

Reads the Parquet files of a snapshot, or those that `alignloop export --format parquet` wrote, whose rows are the
same without the judgements. pandas is loaded when a function here is called. Changes nothing, checks no hash
(`snapshot.verify_snapshot` does), and gives stages nothing: they read the JSON lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alignment.dataset.parquet import schema_of
from alignment.errors import SnapshotProblem

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """The tables of one dataset, one row a line; the columns are listed in `alignment.dataset.parquet`.

    Each table of rows has `weight` (how much the row counts; for a policy, times `age_weight`), `judgements` (the ids
    that stand behind it, as in `judgements.id`) and `split` (`train` or `held_out`). Turns are arrays of
    `{"role", "content"}`; `text_of` makes one text of them. A table that the folder lacks is empty, with its columns.
    """

    pairs: pd.DataFrame
    marks: pd.DataFrame
    groups: pd.DataFrame
    sft: pd.DataFrame
    judgements: pd.DataFrame


def read_snapshot(folder: Path) -> Frames:
    """The frames of a dataset folder. Raises `SnapshotProblem` where there is none or a file is not a table of ours."""
    if not any((folder / f"{name}.parquet").is_file() for name in Frames.__dataclass_fields__):
        raise SnapshotProblem(
            f"{folder} holds no table such as pairs.parquet; name a snapshot's folder or an export's."
        )
    return Frames(**{name: _read(folder / f"{name}.parquet", name) for name in Frames.__dataclass_fields__})


def text_of(turns: pd.Series) -> pd.Series:
    """A column of turns as texts: the contents in order, an empty line between two."""
    return turns.map(lambda messages: "\n\n".join(message["content"] for message in messages))


def _read(path: Path, name: str) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    schema = schema_of(name)
    if not path.is_file():
        frame: pd.DataFrame = schema.empty_table().to_pandas()
        return frame
    try:
        return pd.read_parquet(path, columns=schema.names)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SnapshotProblem(f"{path} is not a table of {name}: {error}. Take a new snapshot.") from error
