"""Which judgements made a version, where a person's went, and which versions are free of somebody who left.

A version rests on its round's snapshot, and on its parent where training continued from it. A snapshot counts
whose judgements it was compiled from; its rows name each of them. Nothing is changed here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alignment.files import json_lines
from feedback_app.domain.lineage import Click, Contributor, Dataset, PersonLineage, RestsOn, UsedIn, VersionLineage
from feedback_app.errors import NotFound, UsageError
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Round, Snapshot, Version

ROWS = ("pairs", "marks", "sft", "groups")


def ancestry(store: Store, version: Version) -> list[Version]:
    """The version, its parent, and so on to the base."""
    line = [version]
    while (parent := store.versions.get(line[-1].parent) if line[-1].parent else None) is not None:
        if parent in line:
            break
        line.append(parent)
    return line


def snapshot_of(store: Store, version: Version) -> Snapshot | None:
    """The dataset that a version was trained on; None for a base."""
    round_ = store.rounds.get(version.round_id) if version.round_id is not None else None
    return store.rounds.snapshot(round_.snapshot_id) if round_ is not None and round_.snapshot_id else None


def people_behind(store: Store, version: Version) -> dict[str, tuple[Person, int]]:
    """Whose judgements the version and its ancestors were trained on, by id, with how many."""
    people: dict[str, tuple[Person, int]] = {}
    for each in ancestry(store, version):
        snapshot = snapshot_of(store, each)
        for person, count in store.rounds.people_in(snapshot.id) if snapshot else []:
            people[person.id] = (person, people.get(person.id, (person, 0))[1] + count)
    return people


def flag_of(store: Store, version: Version) -> str:
    """Why a version should not be built on: empty, or whose judgements it rests on that were taken back."""
    gone = [person for person, _ in people_behind(store, version).values() if person.withdrawn_at is not None]
    erased = sum(person.erased_at is not None for person in gone)
    if erased:
        return f"trained on judgements of {_people(erased)} whose texts were erased"
    return f"trained on judgements of {_people(len(gone))} who withdrew" if gone else ""


def nearest_clean(store: Store, version: Version) -> Version | None:
    """The version itself or its nearest ancestor that rests on nobody who left."""
    return next((each for each in ancestry(store, version) if not flag_of(store, each)), None)


def check_start(store: Store, incumbent: Version) -> None:
    """Refuse to continue from a version that rests on somebody who left; names the nearest that does not.

    Raises `UsageError`.
    """
    flag = flag_of(store, incumbent)
    if not flag:
        return
    clean = nearest_clean(store, incumbent)
    where = f"The nearest version without them is {clean.name}: promote it" if clean else "No version is without them"
    raise UsageError(
        f"{incumbent.name} was {flag}, so no round continues from it. {where}, or start from the base model "
        "(leave out --start-from incumbent)."
    )


def lineage(store: Store, name: str) -> VersionLineage | PersonLineage:
    """What `alignloop lineage` says of a version or of a person. Raises `NotFound`."""
    version = store.versions.get(name)
    if version is not None:
        return version_lineage(store, version)
    person = store.people.by_name(name)
    if person is not None:
        return person_lineage(store, person)
    raise NotFound(f"There is neither a version nor a person called {name}. `alignloop version list` names versions.")


def named_version_lineage(store: Store, name: str) -> VersionLineage:
    """`version_lineage` of the version of this name. Raises `NotFound`."""
    version = store.versions.get(name)
    if version is None:
        raise NotFound(f"There is no version called {name}. `alignloop version list` names them.")
    return version_lineage(store, version)


def version_lineage(store: Store, version: Version) -> VersionLineage:
    """Which clicks made a version: its ancestors, people, rows, and every judgement or signal that a row names."""
    snapshot = snapshot_of(store, version)
    published = store.versions.published()
    clicks = list(_clicks(Path(snapshot.folder), store)) if snapshot else []
    people = sorted(people_behind(store, version).values(), key=lambda each: (-each[1], each[0].name))
    return VersionLineage(
        version=version.name,
        serving=published is not None and published.version == version.name,
        flag=flag_of(store, version),
        ancestors=[each.name for each in ancestry(store, version)[1:]],
        parent=version.parent,
        round=version.round_id,
        snapshot=Dataset(snapshot.id, snapshot.hash, snapshot.folder) if snapshot else None,
        people=[
            Contributor(
                person.name, person.scripted, count, person.withdrawn_at is not None, person.erased_at is not None
            )
            for person, count in people
        ],
        rows={kind: snapshot.manifest["counts"]["rows"][kind]["train"] for kind in ROWS} if snapshot else {},
        judgements=len(clicks),
        clicks=clicks,
    )


def person_lineage(store: Store, person: Person) -> PersonLineage:
    """Where a person's judgements went: snapshots, the rounds that used them, and the versions that rest on them."""
    published = store.versions.published()
    snapshots = store.rounds.snapshots_of(person.id)
    rounds: defaultdict[str, list[Round]] = defaultdict(list)
    for round_ in reversed(store.rounds.listing()):
        if round_.snapshot_id:
            rounds[round_.snapshot_id].append(round_)
    snapshots.sort(key=lambda each: [round_.id or 0 for round_ in rounds[each[0].id]])
    trained = {round_.id for snapshot, _ in snapshots for round_ in rounds[snapshot.id]}
    versions: list[RestsOn] = []
    for version in store.versions.listing():
        found = people_behind(store, version).get(person.id)
        if found is not None:
            versions.append(
                RestsOn(
                    version=version.name,
                    how="trained" if version.round_id in trained else "continued",
                    judgements=found[1],
                    state=version.state,
                    serving=published is not None and published.version == version.name,
                )
            )
    return PersonLineage(
        person=person.name,
        withdrawn=person.withdrawn_at is not None,
        erased=person.erased_at is not None,
        set_aside=person.set_aside_at is not None,
        judgements=store.judgements.live_of(person.id),
        snapshots=[
            UsedIn(snapshot.id, count, [round_.id for round_ in rounds[snapshot.id]]) for snapshot, count in snapshots
        ],
        versions=versions,
    )


def _clicks(folder: Path, store: Store) -> Iterator[Click]:
    """Every judgement or signal that a training row of the snapshot names, with the rows it is in, by kind of rows."""
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for kind in ROWS:
        for record in _lines(folder / f"{kind}.jsonl"):
            if record["split"] == "train":
                for id in record["judgements"]:
                    rows[id][kind] += 1
    names = {person.id: person.name for person in store.people.listing()}
    for record in _lines(folder / "judgements.jsonl"):
        if record["id"] in rows:
            yield Click(
                record["id"],
                names.get(record["person"], record["person"]),
                record["kind"],
                record["at"],
                dict(rows.pop(record["id"])),
            )
    for signal in store.signals.named(rows):  # what is no judgement was done without being asked
        yield Click(
            signal.id, names.get(signal.person_id, signal.person_id), signal.kind, signal.at, dict(rows[signal.id])
        )


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        for _, record in json_lines(path):
            yield record
    except FileNotFoundError as error:
        raise NotFound(f"{path} is gone, so which judgements stand behind it cannot be said any more.") from error


def _people(count: int) -> str:
    return "one person" if count == 1 else f"{count} people"
