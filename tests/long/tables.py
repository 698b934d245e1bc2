"""The tables and plots of studies in docs/results.md, made from their lines.

    python -m tests.long.tables            # prints what would change, exit 1 if anything would
    python -m tests.long.tables --write

A table stands between `<!-- table NAME -->` and `<!-- end -->`, a plot in `docs/plots/`. Intervals over seeds are
95 % t-intervals.
"""

from __future__ import annotations

import math
import random
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from tests.long.lines import RESULTS, read_lines, spread
from tests.long.plots import PLOTS
from tests.long.ppo_against_trl import summary as beside

PAGE = Path(__file__).resolve().parents[2] / "docs" / "results.md"
DRAWN = PAGE.parent / "plots"
Lines = Sequence[Mapping[str, Any]]
METHODS = {
    "dpo": "comparisons",
    "kto": "likes and dislikes",
    "ppo": "comparisons",
    "rloo": "comparisons",
    "grpo": "comparisons",
    "online-dpo": "comparisons",
    "constitution": "choices of an adviser",
}


def percent(shares: Sequence[float]) -> str:
    """A mean of shares with its interval over seeds; one seed has none."""
    mean, half = spread([100 * share for share in shares])
    return f"{mean:.1f} %" + (f" (±{half:.1f})" if len(shares) > 1 else "")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def by(lines: Lines, name: str) -> dict[str, list[Mapping[str, Any]]]:
    """The lines of each value of a field, in order of seeds."""
    found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in sorted(lines, key=lambda line: line["seed"]):
        found[str(line[name])].append(line)
    return dict(found)


def methods(lines: Lines) -> str:
    """One row a method."""
    groups = by(lines, "method")
    rows = []
    for method in (method for method in METHODS if method in groups):
        found = groups[method]
        lost = [line["capability"]["points"] for line in found]
        memory = [line["high_water_gib"] for line in found if "high_water_gib" in line]
        processor = [line["cpu_s"] for line in found if "cpu_s" in line]
        rows.append(
            [
                f"`{method}`",
                f"{found[0]['labels']} {METHODS[method]}",
                str(len(found)),
                percent([line["win_rate"] for line in found]),
                f"{fmean(line['kl'] for line in found):.2f}",
                f"{fmean(lost):+.1f} (worst bound {max(line['capability']['upper'] for line in found):.1f})",
                f"{median(processor):.0f}" if processor else "",
                f"{median(memory):.2f} GiB" if memory else "",
            ]
        )
    heads = ["method", "labels", "seeds", "win rate over the base", "KL, nats per answer"]
    heads += ["points of capability lost", "processor seconds", "peak memory"]
    return table(heads, rows)


def noise(lines: Lines) -> str:
    """One row an arm, and the paired difference that weighting makes."""
    groups = by(lines, "arm")
    clean = {line["seed"]: line["win_rate"] - 0.5 for line in groups["clean"]}
    words = {
        "clean": "480 tasks, one person each, no noise",
        "flips": "the same, a quarter of the preferences turned round",
        "clean-shared": "160 tasks, three people each, no noise",
        "clickers": "the same, five of ten people click blindly",
        "clickers-gold": "the same, and everybody answered 20 comparisons with a known answer",
        "clickers-unweighted": "the same, everybody weighs the same",
    }
    rows = []
    for arm in words:
        found = [line for line in groups.get(arm, []) if line["seed"] in clean]
        if not found:
            continue
        kept = fmean(line["win_rate"] - 0.5 for line in found) / fmean(clean[line["seed"]] for line in found)
        rows.append([words[arm], str(len(found)), percent([line["win_rate"] for line in found]), f"{100 * kept:.0f} %"])
    alike = {line["seed"]: line["win_rate"] for line in groups["clickers-unweighted"]}
    for arm, name in (("clickers", "weighted"), ("clickers-gold", "weighted with gold")):
        pairs = [line for line in groups.get(arm, []) if line["seed"] in alike]
        gains = [100 * (line["win_rate"] - alike[line["seed"]]) for line in pairs]
        if gains:
            mean, half = spread(gains)
            rows.append(
                [
                    f"{name} minus unweighted, paired",
                    str(len(gains)),
                    f"{mean:+.1f} points ({mean - half:+.1f} to {mean + half:+.1f})",
                    "",
                ]
            )
    return table(["480 judgements, `dpo`", "seeds", "win rate", "of the clean gain"], rows)


def kinds(lines: Lines) -> str:
    """One row a kind of feedback."""
    groups = by(lines, "arm")
    words = {
        "likes": "likes and dislikes",
        "rankings": "rankings of four",
        "corrections": "corrections",
        "mixture": "a mixture of ten people, one verdict in ten blind",
    }
    rows = [
        [
            words[arm],
            f"`{groups[arm][0]['method']}`",
            str(len(groups[arm])),
            percent([g["win_rate"] for g in groups[arm]]),
        ]
        for arm in words
        if arm in groups
    ]
    return table(["about 400 clicks", "method", "seeds", "win rate over the base"], rows)


def chain(lines: Lines) -> str:
    """One row a round, for each start."""
    rows = []
    for start, found in by(lines, "start").items():
        for number in range(len(found[0]["rounds"])):
            at = [line["rounds"][number] for line in found]
            rows.append(
                [
                    start,
                    str(number + 1),
                    percent([each["win_rate"] for each in at]),
                    f"{fmean(each['capability']['points'] for each in at):+.1f} "
                    f"(bound {max(each['capability']['upper'] for each in at):.1f})",
                    f"{fmean(each['kl'] for each in at):.1f}",
                    f"{fmean(each['loss_added'] for each in at):+.2f}",
                    f"{fmean(each['length_ratio'] for each in at):.2f}",
                ]
            )
    heads = ["each round starts from", "round", "win rate over the base", "points of capability lost to the base"]
    heads += ["KL to the base", "language-model loss added", "length over the base's"]
    return table(heads, rows)


def over_optimisation(lines: Lines) -> str:
    """One row a seed."""
    rows = [
        [
            str(line["seed"]),
            f"{line['curve'][0]['proxy']:.1f} → {line['curve'][-1]['proxy']:.1f}",
            f"{100 * line['peak']:.1f}",
            f"{100 * line['end']:.1f}",
            str(line["stopped_at"]),
            str(line["judged"]),
            f"{100 * line['reached']:.0f} %",
        ]
        for line in sorted(lines, key=lambda line: line["seed"])
    ]
    heads = ["seed", "proxy reward, first to last", "peak true gain, points", "at the end", "stopped at step"]
    return table([*heads, "judgements", "of the peak reached"], rows)


def flags(lines: Lines) -> str:
    """Who was named, by design and rule."""
    found = by(lines, "arm").get("flags", [])
    rows = []
    designs = {"alone": "one person a task", "shared": "three people a task"}
    for design, people in designs.items():
        for attack, what in (("", "rewrites"), ("-choosing", "chooses")):
            for rule in ("outvoted", "unconfirmed", "influential", "wording", "any"):
                attacked = [_named(line[design + attack], rule) for line in found]
                if not any(attacked):
                    continue
                counts = [sum("p0" in names for names in attacked), sum(bool(names - {"p0"}) for names in attacked)]
                counts += [
                    sum(bool(_named(line[f"{design}{twin}"], rule)) for line in found)
                    for twin in ("-helping", "-honest")
                ]
                rows.append([people, what, rule, *(f"{count} of {len(found)}" for count in counts)])
    heads = [
        "design",
        "the account",
        "rule",
        "it is named",
        "somebody else is",
        "anybody where it helps",
        "or is honest",
    ]
    return table(heads, rows)


def _named(by_rule: Mapping[str, Sequence[str]], rule: str) -> set[str]:
    return {name for each, names in by_rule.items() for name in names if rule in (each, "any")}


def poison(lines: Lines) -> str:
    """How often the planted behaviour shows, by arm, and by how much an attack moved it against its honest twin."""
    groups = by(lines, "arm")
    words = {
        "undefended-honest": "every correction trains at once, no attack",
        "undefended": "every correction trains at once, attacked",
        "shared-honest": "three people a task see what was rewritten, no attack",
        "shared": "three people a task see what was rewritten, attacked",
    }
    rows = []
    for arm in (arm for arm in words if arm in groups):
        found = groups[arm]
        twin = {line["seed"]: line["rate"] for line in groups.get(f"{arm.partition('-')[0]}-honest", [])}
        moves = [100 * (line["rate"] - twin[line["seed"]]) for line in found if line["seed"] in twin]
        moved = "" if arm.endswith("honest") or not moves else _points(moves)
        rates = [percent([line[name] for line in found]) for name in ("rate", "base")]
        rows.append([words[arm], str(len(found)), *rates, moved, percent([line["win_rate"] for line in found])])
    return table(["480 tasks", "seeds", "say it", "of the base", "moved by the attack", "win rate"], rows)


def _points(moves: Sequence[float]) -> str:
    mean, half = spread(moves)
    return f"{mean:+.1f} points" + (f" (±{half:.1f})" if len(moves) > 1 else "")


def labels(lines: Lines) -> str:
    """Clicks to the target by arm, and the paired ratio to `plain` (geometric mean, bootstrap over seeds)."""
    groups = by(lines, "arm")
    words = {
        "plain": "`dpo` on pairs as TRL has it: a fixed number of passes, every click the same",
        "dpo": "our `dpo` on the same pairs",
        "dpo-rankings": "our `dpo` on rankings of four",
        "online": "a reward model from the pairs, then `online-dpo`",
        "online-rankings": "the same from rankings of four",
    }
    plain = {line["seed"]: line["clicks"] for line in groups["plain"]}
    rows = []
    for arm in (arm for arm in words if arm in groups):
        clicks = [line["clicks"] for line in groups[arm]]
        logs = [math.log(line["clicks"] / plain[line["seed"]]) for line in groups[arm] if line["seed"] in plain]
        ratio = "" if arm == "plain" or not logs else f"{math.exp(fmean(logs)):.2f}"
        if ratio and len(logs) > 1:
            rng = random.Random(1)
            drawn = sorted(fmean(rng.choices(logs, k=len(logs))) for _ in range(2000))
            ratio += f" ({math.exp(drawn[50]):.2f} to {math.exp(drawn[1949]):.2f})"
        rows.append([words[arm], str(len(clicks)), ", ".join(map(str, clicks)), ratio])
    return table(["to a win rate of 80 %", "seeds", "clicks, seed by seed", "of plain's"], rows)


def ppo(lines: Lines) -> str:
    """Ours beside TRL's: medians, and the win rates' difference over seeds."""
    rows = []
    for what, dtype in sorted({(line["what"], line["dtype"]) for line in lines}, reverse=True):
        found = [line for line in lines if (line["what"], line["dtype"]) == (what, dtype)]
        known = beside(found)
        names = {"training_s": "training, s", "cpu_s": "processor time of the whole process, s"}
        for name, words in names.items() if what == "speed" else (("peak_gib", "peak memory, GiB"),):
            each = known[name]
            rows.append(
                [f"{words}, {dtype}", str(len(found)), f"{each['ours']}", f"{each['trl']}", f"{each['ratio']:.2f}"]
            )
        if "points" in known:
            rates = [percent([line[side]["win_rate"] for line in found]) for side in ("ours", "trl")]
            points = f"{known['points']['mean']:+.1f} points" + (
                f", lower bound {known['points']['lower']:+.1f}" if len(found) > 1 else ""
            )
            rows.append([f"win rate over the base, {dtype}", str(len(found)), *rates, points])
    return table(["", "runs", "ours", "TRL 1.12.0", "ratio or difference"], rows)


def imports(lines: Lines) -> str:
    """One row a kind of database and of file, of the last measurement."""
    names = {"sqlite": "SQLite", "postgres": "PostgreSQL", "jsonl": "JSON lines", "csv": "CSV", "parquet": "parquet"}
    rows = [
        [
            names[run["database"]],
            names[run["container"]],
            f"{run['rows_per_s']:,}",
            f"{run['rows_per_cpu_s']:,}",
            f"{run['bare_per_s']:,}",
            f"{run['ratio']:.2f} ({run['ratio_min']:.2f} to {run['ratio_max']:.2f})",
        ]
        for run in lines[-1]["runs"]
    ]
    return table(["database", "file", "rows a second", "a processor second", "bare, a second", "ratio"], rows)


TABLES: Mapping[str, tuple[str, Callable[[Lines], str]]] = {
    "methods": ("methods.jsonl", methods),
    "noise": ("noise.jsonl", noise),
    "kinds": ("kinds.jsonl", kinds),
    "chain": ("chain.jsonl", chain),
    "over_optimisation": ("over_optimisation.jsonl", over_optimisation),
    "flags": ("poison.jsonl", flags),
    "poison": ("poison.jsonl", poison),
    "labels": ("labels.jsonl", labels),
    "ppo": ("ppo-against-trl.jsonl", ppo),
    "imports": ("imports.jsonl", imports),
}


def filled(text: str) -> str:
    """The page with every marked table as its lines say today."""

    def fill(found: re.Match[str]) -> str:
        file, make = TABLES[found[1]]
        lines = read_lines(RESULTS / file)
        return f"<!-- table {found[1]} -->\n{make(lines) if lines else 'Not measured yet.'}\n<!-- end -->"

    return re.sub(r"<!-- table (\w+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


def plots() -> dict[Path, str]:
    """Every plot as its lines say today, by its file."""
    return {
        DRAWN / f"{name}.svg": draw(read_lines(RESULTS / file), list(METHODS)) for name, (file, draw) in PLOTS.items()
    }


def main(words: Sequence[str]) -> int:
    """Write, or say whether anything would change."""
    made = {PAGE: filled(PAGE.read_text(encoding="utf-8")), **plots()}
    stale = 0
    for path, new in made.items():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if "--write" in words:
            path.parent.mkdir(exist_ok=True)
            path.write_text(new, encoding="utf-8")
            continue
        stale += old != new
        for before, after in zip(old.splitlines(), new.splitlines(), strict=False):
            if before != after:
                print(f"- {before}\n+ {after}")
    return int(stale > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
