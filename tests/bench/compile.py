"""How the time and the memory of compiling grow with the number of judgements.

    python -m tests.bench.compile [--sizes N … | --largest N] [--json FILE]

A database is filled with comparisons, likes and rankings of many people on fewer prompts, some tasks shared.
For each size, in a process of its own: every judgement is read from the database alone, and then a whole
snapshot is compiled from it, as a round does (read, survey, drafts, rows, JSONL and Parquet). Seconds are the
processor's, which other work on the machine does not lengthen; the whole snapshot's by the clock stand beside
them. The slope is that of log seconds over log judgements: 1 is time that grows linearly. Memory is the
process's high-water mark, and how much of that came with compiling. `--largest 1000000` takes that size, a
quarter of it, a sixteenth and a sixty-fourth; some 4 GB of disk, and about half an hour of a free processor.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.long.lines import provenance
from tests.long.processes import high_water

SIZES = (4_000, 8_000, 16_000, 32_000)
PEOPLE = 50
WORDS = [
    "river",
    "stone",
    "apple",
    "quiet",
    "winter",
    "garden",
    "letter",
    "bright",
    "mountain",
    "paper",
    "silver",
    "window",
    "morning",
    "bread",
    "music",
]


def fill(url: str, size: int) -> None:
    """Put so many judgements into an empty database, in bulk: writing is not what is measured."""
    from sqlalchemy import insert
    from sqlmodel import SQLModel

    from feedback_app.store import tables as t
    from feedback_app.store.database import open_store

    draw = random.Random(size)
    store = open_store(url)
    people = [store.people.add(f"p{number}", "annotator", "").id for number in range(PEOPLE)]
    rows: dict[type[SQLModel], list[dict[str, Any]]] = {}

    def add(table: type[SQLModel], **values: Any) -> None:
        rows.setdefault(table, []).append(values)

    def flush() -> None:
        with store.database.write() as session:
            for table in (t.Conversation, t.Message, t.Completion, t.Task, t.Ticket, t.JudgementRow):
                if rows.get(table):
                    session.connection().execute(insert(table), rows.pop(table))

    serial = 0
    while serial < size:
        number = serial
        kind, count = (("compare", 2), ("compare", 2), ("like", 1), ("rank", 4))[number % 4]
        prompt = f"Tell me about the {' '.join(draw.choices(WORDS, k=6))}, please, number {draw.randrange(size // 2)}."
        common = {"created_at": 0.0}
        add(t.Conversation, id=f"k{number}", person_id=people[0], purpose="compare", title="", updated_at=0.0, **common)
        add(
            t.Message,
            id=f"m{number}",
            conversation_id=f"k{number}",
            parent_id=None,
            role="user",
            content=prompt,
            **common,
        )
        ids = [f"m{number}-{i}" for i in range(count)]
        for i, id in enumerate(ids):
            text = f"Answer {i}: {' '.join(draw.choices(WORDS, k=30))}."
            add(
                t.Message,
                id=id,
                conversation_id=f"k{number}",
                parent_id=f"m{number}",
                role="assistant",
                content=text,
                **common,
            )
            add(
                t.Completion,
                message_id=id,
                version=f"policy-{draw.randrange(1, 9):04d}",
                finish_reason="stop",
                sent=[f"m{number}"],
                sampling={},
                prompt_tokens=0,
                completion_tokens=0,
                seconds=0.0,
                adapter_hash="",
                template_hash="",
                **common,
            )
        add(
            t.Task,
            id=f"t{number}",
            kind=kind,
            context_id=f"m{number}",
            candidates=ids,
            wanted=1,
            scripted=True,
            **common,
        )
        for person in draw.sample(people, 3 if number % 5 == 0 else 1):
            serial += 1
            verdict: dict[str, Any] = {"ranks": {id: draw.randrange(1, count + 1) for id in ids}}
            if kind == "like":
                verdict = {"marks": {ids[0]: draw.choice(["good", "bad"])}}
            ticket = f"k{number}-{person}"
            add(t.Ticket, id=ticket, task_id=f"t{number}", person_id=person, order=ids, expires_at=1.0, **common)
            add(
                t.JudgementRow,
                id=f"j{serial}",
                ticket_id=ticket,
                person_id=person,
                kind=kind,
                verdict=verdict,
                verdict_hash="",
                live=True,
                scripted=True,
                at=0.0,
                serial=serial,
            )
        if len(rows[t.Task]) >= 2_000:
            flush()
    flush()
    store.close()


def measure(home: Path) -> dict[str, Any]:
    """Read, compile; run in a process of its own, so that the peak of memory is this size's."""
    from alignment.dataset.compile.snapshot_writer import write_snapshot
    from alignment.dataset.compile.stream import Stream
    from feedback_app.store.database import open_store

    store = open_store(_url(home))
    began = time.process_time()
    judgements = sum(1 for _ in store.judgements.export())
    read = time.process_time() - began
    before = high_water(os.getpid())
    began, clock = time.process_time(), time.perf_counter()
    (home / "scratch").mkdir()
    stream = Stream(store.judgements.export(), home / "scratch")
    compiled = time.process_time() - began
    manifest = write_snapshot(
        stream.contexts(), home / "snapshot", counts=lambda: stream.counts, filters={}, watermark=0
    )
    whole, wall = time.process_time() - began, time.perf_counter() - clock
    peak = high_water(os.getpid())
    store.close()
    return {
        "judgements": judgements,
        "pairs": manifest.files["pairs.jsonl"]["rows"],
        "read_s": round(read, 3),
        "rows_s": round(compiled, 3),
        "snapshot_s": round(whole, 3),
        "snapshot_wall_s": round(wall, 3),
        "rows_over_read": round(compiled / read, 3),
        "snapshot_over_read": round(whole / read, 3),
        "memory_mib": round((peak - before) / 2**20, 1),
        "peak_mib": round(peak / 2**20, 1),
    }


def _url(home: Path) -> str:
    return f"sqlite:///{home / 'alignloop.db'}"


def slope(sizes: Sequence[dict[str, Any]], of: str) -> float:
    """Least squares through log seconds over log judgements."""
    points = [(math.log(each["judgements"]), math.log(max(each[of], 1e-9))) for each in sizes]
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    across = sum((x - mean_x) ** 2 for x, _ in points)
    return round(sum((x - mean_x) * (y - mean_y) for x, y in points) / across, 3)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, and write everything as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizing = parser.add_mutually_exclusive_group()
    sizing.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of judgements, at least two")
    sizing.add_argument("--largest", type=int, help="this number of judgements, a quarter of it, and so on")
    parser.add_argument("--json", type=Path, help="also write the result here")
    chosen = parser.parse_args(arguments)
    spawn = multiprocessing.get_context("spawn")
    sizes = []
    for size in [chosen.largest // 4**step for step in (3, 2, 1, 0)] if chosen.largest else chosen.sizes:
        with tempfile.TemporaryDirectory(prefix="alignloop-bench-") as name:
            for step, given in ((fill, (_url(Path(name)), size)), (measure, (Path(name),))):
                with spawn.Pool(1) as pool:
                    found = pool.apply(step, given)
        sizes.append(found)
        print(json.dumps(found), flush=True)
    result = {
        **provenance(),
        "sizes": sizes,
        "slope": {name: slope(sizes, f"{name}_s") for name in ("read", "rows", "snapshot")},
        "memory_slope": slope(sizes, "memory_mib"),
    }
    print(json.dumps({name: result[name] for name in ("slope", "memory_slope")}))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
