"""Plots of studies as SVG, from the same lines as the tables: small, without a plotting library, equal for equal lines.

What may not be done here: deciding what a study says; a plot shows its lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from tests.long.lines import spread

Lines = Sequence[Mapping[str, Any]]
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 720, 150, 24, 34, 46
INK, GRID, BLUE, ORANGE = "#222", "#ddd", "#2b6cb0", "#c05621"


class Frame:
    """A plot's frame: values become places, marks are collected, and `svg` is the whole."""

    def __init__(self, title: str, height: int, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._title, self._height, self._x, self._y = title, height, x, y
        self._marks: list[str] = []

    def across(self, value: float) -> float:
        """Pixels from the left."""
        low, high = self._x
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def down(self, value: float) -> float:
        """Pixels from the top."""
        low, high = self._y
        return self._height - BOTTOM - (value - low) / (high - low) * (self._height - TOP - BOTTOM)

    def line(self, points: Iterable[tuple[float, float]], colour: str, width: float = 1.5, opacity: float = 1) -> None:
        """Through values."""
        places = " ".join(f"{self.across(x):.1f},{self.down(y):.1f}" for x, y in points)
        self._marks.append(
            f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{width:g}" '
            f'stroke-opacity="{opacity:g}"/>'
        )

    def dot(self, x: float, y: float, colour: str, radius: float = 4, opacity: float = 1) -> None:
        """At a value."""
        self._marks.append(
            f'<circle cx="{self.across(x):.1f}" cy="{self.down(y):.1f}" r="{radius:g}" fill="{colour}" '
            f'fill-opacity="{opacity:g}"/>'
        )

    def text(self, x: float, y: float, words: str, anchor: str = "middle") -> None:
        """At pixels."""
        self._marks.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>')

    def ticks_x(self, ticks: Mapping[float, str], words: str) -> None:
        """Upright lines of the grid, with what they stand for and the axis's name."""
        low, high = self._y
        for value, shown in ticks.items():
            self.line([(value, low), (value, high)], GRID, 1)
            self.text(self.across(value), self._height - BOTTOM + 16, shown)
        self.text((LEFT + WIDTH - RIGHT) / 2, self._height - 10, words)

    def ticks_y(self, ticks: Mapping[float, str], *, grid: bool = True) -> None:
        """Level lines of the grid, with what they stand for."""
        low, high = self._x
        for value, shown in ticks.items():
            if grid:
                self.line([(low, value), (high, value)], GRID, 1)
            self.text(LEFT - 10, self.down(value) + 4, shown, "end")

    def svg(self) -> str:
        """The file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._height}" role="img" '
            f'font-family="sans-serif" font-size="12" fill="{INK}">'
        )
        title = f'<title>{escape(self._title)}</title><rect width="100%" height="100%" rx="6" fill="#fff"/>'
        name = f'<text x="{LEFT}" y="20" font-weight="bold">{escape(self._title)}</text>'
        return "\n".join([head + title, name, *self._marks, "</svg>", ""])


def methods(lines: Lines, order: Sequence[str]) -> str:
    """Win rate over the base: a method a row, faint dots for seeds, the mean with its interval over them."""
    found = [name for name in order if any(line["method"] == name for line in lines)]
    frame = Frame("Win rate over the base, %", 60 + TOP + 34 * len(found), (50, 100), (len(found), 0))
    frame.ticks_x({float(share): str(share) for share in range(50, 101, 10)}, "% of 400 unseen prompts, ties as half")
    frame.ticks_y({number + 0.5: name for number, name in enumerate(found)}, grid=False)
    for number, name in enumerate(found):
        rates = [100 * line["win_rate"] for line in lines if line["method"] == name]
        for rate in rates:
            frame.dot(rate, number + 0.5, BLUE, 3, 0.35)
        mean, half = spread(rates)
        if math.isfinite(half):
            frame.line([(mean - half, number + 0.5), (min(100.0, mean + half), number + 0.5)], BLUE, 2.5)
        frame.dot(mean, number + 0.5, BLUE, 5)
    return frame.svg()


def over_optimisation(lines: Lines) -> str:
    """True gain over √KL: a line a seed, a dot where the watch chose."""
    seeds = sorted(lines, key=lambda line: line["seed"])
    curves = [[(0.0, 0.0), *((math.sqrt(at["kl"]), _gain(at)) for at in line["curve"])] for line in seeds]
    most = math.ceil(max(x for curve in curves for x, _ in curve))
    frame = Frame(
        "True gain over √KL, a line a seed; the dot is the policy that the watch chose", 380, (0, most), (0, 50)
    )
    frame.ticks_x(
        {float(value): str(value) for value in range(most + 1)}, "√KL to the version that training started from"
    )
    frame.ticks_y({float(value): f"{value} points" for value in range(0, 51, 10)})
    for line, curve in zip(seeds, curves, strict=True):
        frame.line(curve, BLUE, 1.5, 0.6)
        for at in line["curve"]:
            if at["step"] == line["chosen"]:
                frame.dot(math.sqrt(at["kl"]), _gain(at), ORANGE)
    return frame.svg()


def _gain(at: Mapping[str, Any]) -> float:
    return 100 * (float(at["win_rate"]) - 0.5)


def labels(lines: Lines, words: Mapping[str, str]) -> str:
    """Clicks to the target: an arm a row, a dot a seed, on a scale of doublings."""
    arms = [arm for arm in words if any(line["arm"] == arm for line in lines)]
    grid = [20 * 2**power for power in range(8)]
    frame = Frame(
        "Clicks to a win rate of 80 %, a dot a seed",
        60 + TOP + 34 * len(arms),
        (math.log2(15), math.log2(3400)),
        (len(arms), 0),
    )
    frame.ticks_x({math.log2(clicks): f"{clicks:,}" for clicks in grid}, "clicks (2,560: not reached)")
    frame.ticks_y({number + 0.5: words[arm] for number, arm in enumerate(arms)}, grid=False)
    for number, arm in enumerate(arms):
        clicks = sorted(line["clicks"] for line in lines if line["arm"] == arm)
        for place, each in enumerate(clicks):
            same = clicks[:place].count(each)  # those that would lie on one another stand side by side
            frame.dot(math.log2(each) + 0.12 * same, number + 0.5, BLUE, 5, 0.8)
    return frame.svg()


ARMS = {
    "plain": "dpo as TRL has it",
    "dpo": "our dpo",
    "dpo-rankings": "our dpo, rankings",
    "online": "online-dpo",
    "online-rankings": "online-dpo, rankings",
}

PLOTS: Mapping[str, tuple[str, Callable[[Lines, Sequence[str]], str]]] = {
    "methods": ("methods.jsonl", methods),
    "over_optimisation": ("over_optimisation.jsonl", lambda lines, _: over_optimisation(lines)),
    "labels": ("labels.jsonl", lambda lines, _: labels(lines, ARMS)),
}
"""By name: the study's lines, and what draws them (with the order of methods)."""
