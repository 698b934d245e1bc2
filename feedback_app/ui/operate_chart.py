"""The loop over its rounds as small pictures, one measure each, and as a table. Pure: values in, HTML out.

Every picture is an SVG drawn here, with a sentence for people who do not see it; nothing is loaded. Values come
from `parts.loop.over_rounds`, oldest first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from feedback_app.ui.markup import esc

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 320, 152, 52, 12, 12, 28  # px of every picture
LABEL = 44  # px that a version's number needs below the picture
Point = Mapping[str, Any]


@dataclass(frozen=True)
class Mark:
    """One value with its name below, and the ends of its interval where it has one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Measure:
    """What a picture shows: its title, how a value is read off a point and said, and a level to compare with."""

    title: str
    read: Callable[[Point], tuple[float, float | None, float | None] | None]
    say: Callable[[float], str]
    level: float | None = None
    level_name: str = ""


def over_rounds(points: Sequence[Point]) -> str:
    """Cost and gain of every version that was evaluated."""
    head = "<h2>Over the rounds</h2>"
    if not points:
        return (
            f"{head}<p>No version has been evaluated yet. When one has, this shows what people's votes gained and "
            "what that cost: capability and language against the base, round by round.</p>"
        )
    pictures = "".join(_picture(measure, points) for measure in MEASURES)
    proxies = [point for point in points if point.get("proxy") and point.get("distance") is not None]
    watched = ""
    if proxies:
        watched = (
            '<h3>The reward model against people</h3><p class="small">What the reward model says a round gained, and '
            "what blind votes say, over how far training moved (√KL). A reward that rises while votes fall is "
            "over-optimised.</p>"
            f'<div class="pictures">{scatter(PROXY, proxies)}{scatter(VOTES, proxies)}</div>'
        )
    return (
        f'{head}<p class="small">Each point is one version, the oldest first, against the base; votes are against the '
        f'version before it.</p><div class="pictures">{pictures}</div>{watched}{_table(points)}'
    )


def short(version: object) -> str:
    """A version's number, for the space below a point: 7 of policy-0007."""
    text = str(version or "?")
    tail = text.rpartition("-")[2]
    return tail.lstrip("0") or tail if tail.isdigit() else text[-6:]


def ticks(low: float, high: float, about: int = 3) -> list[float]:
    """Round numbers from below `low` to above `high`, about so many steps. Equal ends are widened."""
    if high - low < 1e-9:
        reach = 0.5 * (abs(low) if abs(low) > 1e-9 else 1.0)  # half of a number next to nothing is nothing
        low, high = low - reach, high + reach
    rough = (high - low) / about
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _marks(measure: Measure, points: Sequence[Point]) -> list[Mark]:
    found = []
    for point in points:
        seen = measure.read(point)
        if seen is not None:
            found.append(Mark(short(point["version"]), *seen))
    return found


def _picture(measure: Measure, points: Sequence[Point]) -> str:
    """A measure over the versions, in their order."""
    marks = _marks(measure, points)
    if not marks:
        return ""
    places = [LEFT + (WIDTH - LEFT - RIGHT) * (at + 0.5) / len(marks) for at in range(len(marks))]
    every = math.ceil(len(marks) * LABEL / (WIDTH - LEFT - RIGHT))
    below = "".join(
        _text(x, HEIGHT - 8, mark.name)
        for at, (x, mark) in enumerate(zip(places, marks, strict=True))
        if (len(marks) - 1 - at) % every == 0
    )
    line = '<polyline class="trend" points="{}"/>'
    return _figure(measure, marks, places, below, line)


def scatter(measure: Measure, points: Sequence[Point]) -> str:
    """A measure over √KL, which a point holds as `distance`."""
    shown = [point for point in points if measure.read(point) is not None]
    if not shown:
        return ""
    marks, moved = _marks(measure, shown), [float(point["distance"]) for point in shown]
    axis = ticks(0.0, max(*moved, 0.1))
    places = [LEFT + (WIDTH - LEFT - RIGHT) * value / axis[-1] for value in moved]
    below = "".join(_text(LEFT + (WIDTH - LEFT - RIGHT) * value / axis[-1], HEIGHT - 8, f"{value:g}") for value in axis)
    return _figure(replace(measure, title=f"{measure.title}, over √KL"), marks, places, below, "")


def _figure(measure: Measure, marks: Sequence[Mark], places: Sequence[float], below: str, line: str) -> str:
    ends = [end for mark in marks for end in (mark.value, mark.low, mark.high, measure.level) if end is not None]
    scale = ticks(min(ends), max(ends))

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (scale[-1] - value) / (scale[-1] - scale[0])

    grid = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(at):.1f}" y2="{y(at):.1f}"/>'
        + _text(LEFT - 6, y(at) + 4, measure.say(at), "end")
        for at in scale
    )
    level = ""
    if measure.level is not None and scale[0] < measure.level < scale[-1]:
        at = y(measure.level)
        level = f'<line class="half" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
    drawn = []
    for x, mark in zip(places, marks, strict=True):
        top, bottom = (mark.value if end is None else end for end in (mark.high, mark.low))
        if top != bottom:
            drawn.append(f'<line class="reach" x1="{x:.1f}" x2="{x:.1f}" y1="{y(top):.1f}" y2="{y(bottom):.1f}"/>')
        drawn.append(
            f'<circle class="point" cx="{x:.1f}" cy="{y(mark.value):.1f}" r="4.5"><title>{esc(mark.name)}: '
            f"{esc(measure.say(mark.value))}</title></circle>"
        )
    trend = line.format(" ".join(f"{x:.1f},{y(mark.value):.1f}" for x, mark in zip(places, marks, strict=True)))
    said = f"{measure.title}: " + ", ".join(f"{mark.name} {measure.say(mark.value)}" for mark in marks)
    against = f'<span class="small">{esc(measure.level_name)}</span>' if measure.level_name else ""
    return (
        f'<figure class="picture"><figcaption><span>{esc(measure.title)}</span>{against}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{esc(said)}">'
        f"{grid}{level}{trend if len(marks) > 1 else ''}{''.join(drawn)}{below}</svg></figure>"
    )


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{esc(text)}</text>'


# How each measure is read off a point, and said


def _capability(point: Point) -> tuple[float, float | None, float | None] | None:
    capability = point["capability"]
    lost = capability["lost_to_base"]
    return (-float(lost["points"]), -float(lost["upper"]), None) if capability["n"] else None


def _language(point: Point) -> tuple[float, float | None, float | None] | None:
    loss = point.get("language")
    return None if not loss else (float(loss["added"]), None, None)


def _votes(point: Point) -> tuple[float, float | None, float | None] | None:
    votes = point.get("votes")
    return None if not votes else (float(votes["win_rate"]), float(votes["interval"][0]), float(votes["interval"][1]))


def _from_base(point: Point) -> tuple[float, float | None, float | None] | None:
    kl = (point.get("kl") or {}).get("to_base")
    return None if kl is None else (math.sqrt(max(0.0, float(kl))), None, None)


def _gain(point: Point) -> tuple[float, float | None, float | None] | None:
    proxy = point.get("proxy")
    return None if not proxy else (float(proxy["gain"]), None, None)


def _answers(name: str) -> Callable[[Point], tuple[float, float | None, float | None] | None]:
    def read(point: Point) -> tuple[float, float | None, float | None] | None:
        value = (point.get("answers") or {}).get(name)
        return None if value is None else (float(value), None, None)

    return read


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−") if value else "0"


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _plain(value: float) -> str:
    return f"{round(value, 2):g}"


VOTES = Measure("Blind votes for it, ties as half", _votes, _percent, 0.5, "dashed: even")
PROXY = Measure("Reward gained, by the reward model", _gain, _plain, 0.0, "in spreads of the start")
MEASURES = (
    Measure("Capability against the base, points", _capability, _signed, 0.0, "down to its 95 % bound"),
    Measure("Language-model loss over the base’s", _language, _signed, 0.0, "nats per token"),
    VOTES,
    Measure("Distance from the base, √KL", _from_base, _plain, 0.0, "√ nats per answer"),
    Measure("Length of its answers", _answers("words"), _plain, None, "words"),
    Measure("Repeating itself", _answers("repetition"), _percent, 0.0, "three-word runs"),
    Measure("Refusing to answer", _answers("refusals"), _percent, 0.0, "of its answers"),
)


def _table(points: Sequence[Point]) -> str:
    """The same numbers for people who read rather than look."""
    shown = (*MEASURES, PROXY)
    heads = "".join(f'<th class="number">{esc(measure.title)}</th>' for measure in shown)
    rows = []
    for point in reversed(points):
        cells = []
        for measure in shown:
            seen = measure.read(point)
            cells.append(f'<td class="number">{esc(measure.say(seen[0])) if seen else "–"}</td>')
        start = "incumbent" if point.get("start_from") == "incumbent" else "base"
        rows.append(
            f'<tr><th scope="row">{esc(point["version"])}</th><td>{esc(point.get("started_from") or start)}</td>'
            f"{''.join(cells)}</tr>"
        )
    return (
        '<details class="fold" id="over-table"><summary>The same as a table</summary><div class="table">'
        f'<table class="wide"><thead><tr><th>Version</th><th>Trained from</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )
