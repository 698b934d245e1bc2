"""The loop over its rounds as small pictures, one measure each, and as a table. Pure: values in, HTML out.

Every picture is an SVG drawn here, with a sentence for people who do not see it; nothing is loaded. Values come
from `parts.loop.over_rounds`, oldest first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

from markupsafe import Markup

from feedback_app.domain.reports import RoundFigures
from feedback_app.ui.markup import html

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 320, 152, 52, 12, 12, 28  # px of every picture
LABEL = 44  # px that a version's number needs below the picture
Reading = tuple[float, float | None, float | None]  # a value, and the ends of its interval where it has one
Point = TypeVar("Point")


@dataclass(frozen=True)
class Mark:
    """One value with its name below, and the ends of its interval where it has one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Measure(Generic[Point]):
    """What a picture shows: its title, how a value is read off a point and said, and a level to compare with."""

    title: str
    read: Callable[[Point], Reading | None]
    say: Callable[[float], str]
    level: float | None = None
    level_name: str = ""


def over_rounds(points: Sequence[RoundFigures]) -> Markup:
    """Cost and gain of every version that was evaluated."""
    head = Markup("<h2>Over the rounds</h2>")
    if not points:
        return html(
            "{}<p>No version has been evaluated yet. When one has, this shows what people's votes gained and "
            "what that cost: capability and language against the base, round by round.</p>",
            head,
        )
    pictures = Markup().join(_picture(measure, points) for measure in MEASURES)
    proxies = [point for point in points if point.get("proxy") and point.get("distance") is not None]
    watched = ""
    if proxies:
        watched = html(
            '<h3>The reward model against people</h3><p class="small">What the reward model says a round '
            "gained, and what blind votes say, over how far training moved (√KL). A reward that rises while "
            'votes fall is over-optimised.</p><div class="pictures">{}{}</div>',
            scatter(PROXY, proxies, _version, _moved),
            scatter(VOTES, proxies, _version, _moved),
        )
    return html(
        '{}<p class="small">Each point is one version, the oldest first, against the base; votes are '
        'against the version before it.</p><div class="pictures">{}</div>{}{}',
        head,
        pictures,
        watched,
        _table(points),
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


def _marks(measure: Measure[Point], points: Sequence[Point], name: Callable[[Point], object]) -> list[Mark]:
    found = []
    for point in points:
        seen = measure.read(point)
        if seen is not None:
            found.append(Mark(short(name(point)), *seen))
    return found


def _picture(measure: Measure[RoundFigures], points: Sequence[RoundFigures]) -> Markup:
    """A measure over the versions, in their order."""
    marks = _marks(measure, points, _version)
    if not marks:
        return Markup()
    places = [LEFT + (WIDTH - LEFT - RIGHT) * (at + 0.5) / len(marks) for at in range(len(marks))]
    every = math.ceil(len(marks) * LABEL / (WIDTH - LEFT - RIGHT))
    below = Markup().join(
        _text(x, HEIGHT - 8, mark.name)
        for at, (x, mark) in enumerate(zip(places, marks, strict=True))
        if (len(marks) - 1 - at) % every == 0
    )
    line = Markup('<polyline class="trend" points="{}"/>')
    return _figure(measure, marks, places, below, line)


def scatter(
    measure: Measure[Point],
    points: Sequence[Point],
    name: Callable[[Point], object],
    moved: Callable[[Point], float | None],
) -> Markup:
    """A measure over √KL. `name` and `moved` say what a point is called and how far it is; None where not known."""
    far = [(point, how) for point in points if measure.read(point) is not None and (how := moved(point)) is not None]
    if not far:
        return Markup()
    marks = _marks(measure, [point for point, _ in far], name)
    axis = ticks(0.0, max(*(how for _, how in far), 0.1))
    places = [LEFT + (WIDTH - LEFT - RIGHT) * how / axis[-1] for _, how in far]
    below = Markup().join(
        _text(LEFT + (WIDTH - LEFT - RIGHT) * value / axis[-1], HEIGHT - 8, f"{value:g}") for value in axis
    )
    return _figure(replace(measure, title=f"{measure.title}, over √KL"), marks, places, below, Markup())


def _figure(
    measure: Measure[Any], marks: Sequence[Mark], places: Sequence[float], below: Markup, line: Markup
) -> Markup:
    ends = [end for mark in marks for end in (mark.value, mark.low, mark.high, measure.level) if end is not None]
    scale = ticks(min(ends), max(ends))

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (scale[-1] - value) / (scale[-1] - scale[0])

    grid = Markup().join(
        html('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>', LEFT, WIDTH - RIGHT, y(at), y(at))
        + _text(LEFT - 6, y(at) + 4, measure.say(at), "end")
        for at in scale
    )
    level = ""
    if measure.level is not None and scale[0] < measure.level < scale[-1]:
        at = y(measure.level)
        level = html('<line class="half" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>', LEFT, WIDTH - RIGHT, at, at)
    drawn = []
    for x, mark in zip(places, marks, strict=True):
        top, bottom = (mark.value if end is None else end for end in (mark.high, mark.low))
        if top != bottom:
            drawn.append(
                html('<line class="reach" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>', x, x, y(top), y(bottom))
            )
        drawn.append(
            html(
                '<circle class="point" cx="{:.1f}" cy="{:.1f}" r="4.5"><title>{}: {}</title></circle>',
                x,
                y(mark.value),
                mark.name,
                measure.say(mark.value),
            )
        )
    trend = line.format(" ".join(f"{x:.1f},{y(mark.value):.1f}" for x, mark in zip(places, marks, strict=True)))
    said = f"{measure.title}: " + ", ".join(f"{mark.name} {measure.say(mark.value)}" for mark in marks)
    against = html('<span class="small">{}</span>', measure.level_name) if measure.level_name else ""
    return html(
        '<figure class="picture"><figcaption><span>{title}</span>{against}</figcaption><svg viewBox="0 0 '
        '{width} {height}" role="img" aria-label="{said}">{grid}{level}{trend}{drawn}{below}</svg></figure>',
        title=measure.title,
        against=against,
        width=WIDTH,
        height=HEIGHT,
        said=said,
        grid=grid,
        level=level,
        trend=trend if len(marks) > 1 else "",
        drawn=Markup().join(drawn),
        below=below,
    )


def _text(x: float, y: float, text: str, anchor: str = "middle") -> Markup:
    return html('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>', x, y, anchor, text)


# How each measure is read off a point, and said


def _version(point: RoundFigures) -> str:
    return point["version"]


def _moved(point: RoundFigures) -> float | None:
    return point["distance"]


def _capability(point: RoundFigures) -> Reading | None:
    capability = point["capability"]
    lost = capability["lost_to_base"]
    return (-float(lost["points"]), -float(lost["upper"]), None) if capability["n"] else None


def _language(point: RoundFigures) -> Reading | None:
    loss = point.get("language")
    return None if not loss else (float(loss["added"]), None, None)


def _votes(point: RoundFigures) -> Reading | None:
    votes = point.get("votes")
    return None if not votes else (float(votes["win_rate"]), float(votes["interval"][0]), float(votes["interval"][1]))


def _from_base(point: RoundFigures) -> Reading | None:
    kl = point.get("kl")
    nats = kl["to_base"] if kl else None
    return None if nats is None else (math.sqrt(max(0.0, float(nats))), None, None)


def _gain(point: RoundFigures) -> Reading | None:
    proxy = point.get("proxy")
    return None if not proxy else (float(proxy["gain"]), None, None)


def _answers(name: Literal["words", "repetition", "refusals"]) -> Callable[[RoundFigures], Reading | None]:
    def read(point: RoundFigures) -> Reading | None:
        answers = point.get("answers")
        value = answers[name] if answers else None
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


def _table(points: Sequence[RoundFigures]) -> Markup:
    """The same numbers for people who read rather than look."""
    shown = (*MEASURES, PROXY)
    heads = Markup().join(html('<th class="number">{}</th>', measure.title) for measure in shown)
    rows = []
    for point in reversed(points):
        cells = []
        for measure in shown:
            seen = measure.read(point)
            cells.append(html('<td class="number">{}</td>', measure.say(seen[0]) if seen else "–"))
        start = "incumbent" if point.get("start_from") == "incumbent" else "base"
        rows.append(
            html(
                '<tr><th scope="row">{}</th><td>{}</td>{}</tr>',
                point["version"],
                point.get("started_from") or start,
                Markup().join(cells),
            )
        )
    return html(
        '<details class="fold" id="over-table"><summary>The same as a table</summary><div class="table">'
        '<table class="wide"><thead><tr><th>Version</th><th>Trained from</th>{}</tr></thead><tbody>{}'
        "</tbody></table></div></details>",
        heads,
        Markup().join(rows),
    )
