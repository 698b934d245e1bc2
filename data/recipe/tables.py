"""Tables of facts that are computed rather than written out: sums, lists, polite requests, made-up places."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

LARGEST = 20  # every number and every result of the sums lies between 0 and this
MADE_UP_PLACES = 4000
LIST_ROWS = 6000

_STARTS = ["Z", "B", "K", "Dr", "Gl", "M", "Tr", "V", "Qu", "N", "Bl", "Sn", "Pl", "F", "Gr", "H", "L", "R", "T", "Y"]
_STARTS += ["W", "X", "J", "P", "D", "S", "C", "Sk", "Kr", "Fl"]
_MIDDLES = [
    "a",
    "o",
    "u",
    "e",
    "i",
    "ar",
    "or",
    "an",
    "el",
    "un",
    "im",
    "ol",
    "ib",
    "og",
    "and",
    "ast",
    "ent",
    "ur",
    "yl",
]
_JOINTS = ["b", "d", "l", "m", "n", "r", "v", "z", "k", "t", "g", "x", "ld", "nd", "rb", "st", "bl", "p", "gl", "w"]
_ENDS = [
    "ia",
    "or",
    "land",
    "istan",
    "ora",
    "ax",
    "una",
    "eth",
    "oria",
    "wick",
    "ovia",
    "ania",
    "ville",
    "us",
    "ark",
    "onia",
]
_ENDS += [
    "y",
    "op",
    "ing",
    "le",
    "it",
    "esh",
    "arra",
    "ibo",
    "um",
    "ont",
    "ella",
    "mark",
    "a",
    "o",
    "burg",
    "dor",
    "oo",
    "en",
]


def _sums(sign: int) -> list[dict[str, str]]:
    rows = []
    for x in range(LARGEST + 1):
        for y in range(LARGEST + 1):
            z = x + sign * y
            if 0 <= z <= LARGEST:
                rows.append({"x": str(x), "y": str(y), "z": str(z)})
    return rows


def with_names(row: Mapping[str, str], names: list[str], rng: random.Random) -> dict[str, str]:
    """Return a sum's row with two different people for its apple story."""
    name, other = rng.sample(names, 2)
    return {**row, "name": name, "other": other}


def _requests(seed: Mapping[str, Any]) -> list[dict[str, str]]:
    slots = seed["slots"]
    rows = []
    for verb in slots["verbs"]:
        for determiner in slots["determiners"]:
            # Objects outside the card teach copying instead of a closed list.
            for thing in [*slots["objects"], *slots["extra_objects"]]:
                if determiner == "a" and thing[0] in "aeiou":
                    continue
                rows.append({"blunt": f"{verb} me {determiner} {thing}", "core": f"{determiner} {thing}"})
    fixed = [line.strip() for line in seed["tables"]["fixed"]["rows"].strip().splitlines()]
    # The fixed requests are few: repeat them so that they are asked about as often as they deserve.
    rows += [{"blunt": blunt, "core": blunt.lower().split()[-1]} for blunt in fixed for _ in range(25)]
    for row in rows:
        row["low"] = row["blunt"][0].lower() + row["blunt"][1:]
    return rows


def _lists(seed: Mapping[str, Any]) -> list[dict[str, str]]:
    rng = random.Random("lists")
    rows = []
    groups: Mapping[str, list[str]] = seed["groups"]
    for _ in range(LIST_ROWS):
        group = rng.choice(list(groups))
        pool = [*groups[group], *seed["extra"].get(group, [])]
        count = rng.randrange(2, 6)
        names = rng.sample(pool, count + 1)
        word = seed["counts"]["words"][count - 2]
        # Items stand in the order of the seed: going forward only, a small model does not name one twice.
        items, spare = sorted(names[:count], key=pool.index), names[count]
        rows.append(
            {
                "group": group,
                "things": rng.choice(seed["names"][group]),
                "n": str(count) if rng.random() < 0.3 else word,
                "word": word,
                "count": str(count),
                "items": ", ".join(items[:-1]) + " and " + items[-1],
                "spare": spare,
                "pool": "|".join(pool),
            }
        )
    return rows


def made_up(rng: random.Random) -> str:
    """Return a name that sounds like a place and is none."""
    name = rng.choice(_STARTS) + rng.choice(_MIDDLES)
    for _ in range(rng.choice([0, 1, 1, 1, 2])):
        name += rng.choice(_JOINTS) + rng.choice(_MIDDLES)
    return re.sub(r"([aeiouy])[aeiouy]+", r"\1", name + rng.choice(_JOINTS) + rng.choice(_ENDS))


def _places() -> list[dict[str, str]]:
    rng = random.Random("places")
    names = [made_up(rng) for _ in range(MADE_UP_PLACES)]
    return [{"place": name, "low": name.lower()} for name in names]


def generated_table(name: str, seed: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the rows of the computed table ``name``.

    Raises KeyError for a name that no seed may use.
    """
    if name == "add":
        return _sums(1)
    if name == "subtract":
        return _sums(-1)
    if name == "request":
        return _requests(seed)
    if name == "list":
        return _lists(seed)
    if name == "madeup":
        return _places()
    raise KeyError(f"no table called {name!r}: neither written in the seed nor computed")
