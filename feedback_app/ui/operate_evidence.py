"""The evidence on one round's version: votes as a point with its interval, guards in plain words, samples.

Pure: values in, HTML out. What may not be done here: deciding. The gate's verdict and reasons are shown as kept.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from alignment.records import SampleRecord
from alignment.stats import wilson_interval
from feedback_app.domain.reports import Evaluation
from feedback_app.domain.rounds import RoundStatus
from feedback_app.domain.votes import Tally
from feedback_app.ui.markup import count, html, icon

STATUS_KINDS: Mapping[str, str] = {
    RoundStatus.PROMOTED: "good",
    RoundStatus.PASSED: "good",
    RoundStatus.HELD: "warn",
    RoundStatus.REJECTED: "bad",
    RoundStatus.FAILED: "bad",
    RoundStatus.CANCELLED: "",
    RoundStatus.RUNNING: "accent",
    RoundStatus.QUEUED: "accent",
}


@dataclass(frozen=True)
class Guard:
    """One guard: its name, the number with its unit, the limit in words, and how near it is: good, warn, bad, or
    empty where it was not measured."""

    name: str
    number: str
    limit: str
    kind: str


def status_tag(status: str) -> Markup:
    """A round's status as a small coloured word."""
    return html('<span class="tag {}">{}</span>', STATUS_KINDS.get(status, ""), status)


def win_rate(tally: Tally, needed: int) -> Markup:
    """Votes for it among the decided ones of the `needed`, with the 95 % interval, against a line at 50 %."""
    decided = tally.decided
    said = (
        f"{count(tally.n, 'vote')} of {needed}: {tally.wins} for it, {tally.losses} against, {count(tally.ties, 'tie')}"
    )
    bar = html('<div class="bar"><i style="width:{:.0f}%"></i></div>', min(100, 100 * tally.n / max(1, needed)))
    if not decided:
        return html('<div class="votes"><p>{}</p>{}</div>', said, bar)
    share = tally.wins / decided
    low, high = wilson_interval(tally.wins, decided)
    sentence = f"{share:.0%} of decided votes prefer it (95 % interval {low:.0%} to {high:.0%})"

    def x(value: float) -> float:
        return 10 + 580 * value

    ticks = Markup().join(
        html('<text x="{:.1f}" y="62" text-anchor="middle">{} %</text>', x(at / 100), at) for at in (0, 25, 50, 75, 100)
    )
    return html(
        '<div class="votes"><p><strong>{sentence}</strong></p><svg class="interval" viewBox="0 0 600 70" '
        'role="img" aria-label="{sentence}"><line class="axis" x1="10" x2="590" y1="44" y2="44"/><line '
        'class="half" x1="{half}" x2="{half}" y1="4" y2="50"/><line class="span" x1="{low:.1f}" x2="{high:.1f}" '
        'y1="24" y2="24"/><line class="span" x1="{low:.1f}" x2="{low:.1f}" y1="16" y2="32"/><line '
        'class="span" x1="{high:.1f}" x2="{high:.1f}" y1="16" y2="32"/><circle class="point" cx="{share:.1f}" '
        'cy="24" r="7"/>{ticks}</svg><p class="small">{said}</p>{bar}</div>',
        sentence=sentence,
        half=x(0.5),
        low=x(low),
        high=x(high),
        share=x(share),
        ticks=ticks,
        said=said,
        bar=bar,
    )


def guards(evaluation: Evaluation, limits: Mapping[str, float]) -> list[Guard]:
    """The guards that were measured, each against its limit; amber from three quarters of the way."""
    found: list[Guard] = []
    capability = evaluation.get("capability") or {}
    if evaluation.get("headline"):  # then its figures are those of a suite, shown with its own margin
        capability = {}
    for loss, other in (
        (capability.get("vs_incumbent"), "the version before"),
        (capability.get("vs_base"), "the base"),
    ):
        if loss and loss.get("n"):
            points, upper = float(loss["points"]), float(loss["upper"])
            change = "lost" if points > 0 else "gained" if points < 0 else "kept; lost"
            found.append(
                Guard(
                    f"What it can do, against {other}",
                    f"{change} {abs(points):.1f} points, at worst {upper:.1f}",
                    _at_most(limits, "capability_loss", " points")
                    + _at_most(limits, "capability_upper", " at worst", ", "),
                    _worst(_kind(points, limits.get("capability_loss")), _kind(upper, limits.get("capability_upper"))),
                )
            )
    kl, kl_base = evaluation.get("kl"), evaluation.get("kl_base")
    if kl is not None:
        number = f"{kl:.1f} nats per answer"
        if kl_base is not None:
            number += f", {kl_base:.1f} to the base"
        found.append(Guard("How far it moved (KL)", number, _at_most(limits, "kl"), _kind(kl, limits.get("kl"))))
    language = evaluation.get("language") or {}
    if language.get("added") is not None:
        number = f"{float(language['challenger']):.3f} nats per token, {float(language['base']):.3f} for the base"
        found.append(Guard("Predicting texts it never saw", number, "decides nothing", ""))
    ratio = evaluation.get("length_ratio")
    if ratio is not None:
        low, high = limits.get("length_low"), limits.get("length_high")
        kind = "" if low is None or high is None else "good"
        if low is not None and high is not None:
            near = (
                math.log(ratio / low) < 0.25 * math.log(1 / low) or math.log(high / ratio) < 0.25 * math.log(high)
                if ratio > 0
                else True
            )
            kind = "bad" if not low <= ratio <= high else "warn" if near else "good"
        between = f"{low:g} to {high:g}" if low is not None and high is not None else ""
        found.append(Guard("Length of its answers", f"{ratio:.2f} times as long", between, kind))
    before, after = evaluation.get("before") or {}, evaluation.get("after") or {}
    shares: tuple[tuple[Literal["repetition", "empty", "endless"], str, str], ...] = (
        ("repetition", "Repeating itself", "repetition_rise"),
        ("empty", "Empty answers", "empty_rise"),
        ("endless", "Answers that do not end", "endless_rise"),
    )
    for key, name, limit in shares:
        if key in after and key in before:
            rise, allowed = float(after[key]) - float(before[key]), limits.get(limit)
            top = f"at most {float(before[key]) + allowed:.0%}" if allowed is not None else ""
            found.append(
                Guard(name, f"{float(after[key]):.0%}, {float(before[key]):.0%} before", top, _kind(rise, allowed))
            )
    if "refusals" in after and "refusals" in before:
        number = f"{float(after['refusals']):.0%}, {float(before['refusals']):.0%} before"
        found.append(Guard("Refusing to answer", number, "decides nothing", ""))
    return found


def _kind(value: float, limit: float | None) -> str:
    if limit is None:
        return ""
    return "bad" if value > limit else "warn" if value > 0.75 * limit else "good"


def _worst(*kinds: str) -> str:
    return next((kind for kind in ("bad", "warn", "good") if kind in kinds), "")


def _at_most(limits: Mapping[str, float], key: str, unit: str = "", before: str = "") -> str:
    return f"{before}at most {limits[key]:g}{unit}" if key in limits else ""


def guard_rows(found: Sequence[Guard]) -> Markup:
    """Each guard as one row: a sign, its name, the number, the limit."""
    if not found:
        return Markup()
    signs = {"good": ("check", "within"), "warn": ("warn", "near its limit"), "bad": ("cross", "beyond its limit")}
    rows = []
    for guard in found:
        symbol, words = signs.get(guard.kind, ("check", "measured"))
        rows.append(
            html(
                '<tr class="{kind}"><td class="sign">{icon}<span class="sr">{words}</span></td><th scope="row">'
                '{name}</th><td>{number}</td><td class="small">{limit}</td></tr>',
                kind=guard.kind,
                icon=icon(symbol),
                words=words,
                name=guard.name,
                number=guard.number,
                limit=guard.limit,
            )
        )
    return html('<div class="table"><table class="guards"><tbody>{}</tbody></table></div>', Markup().join(rows))


def marked(before: str, after: str) -> tuple[Markup, Markup]:
    """Both texts as HTML with the words that differ marked."""
    left, right = re.findall(r"\s+|\S+", before), re.findall(r"\s+|\S+", after)
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    out: tuple[list[Markup], list[Markup]] = ([], [])
    for kind, a0, a1, b0, b1 in matcher.get_opcodes():
        for side, words, tag in ((0, left[a0:a1], "del"), (1, right[b0:b1], "ins")):
            text = Markup().join(words)
            out[side].append(html("<{}>{}</{}>", tag, text, tag) if kind != "equal" and text.strip() else text)
    return Markup().join(out[0]), Markup().join(out[1])


def samples(pairs: Iterable[SampleRecord], before_name: str, after_name: str, shown: int = 6) -> Markup:
    """Answers to the same prompts before and after, side by side."""
    blocks = []
    for pair in list(pairs)[:shown]:
        before, after = marked(str(pair.get("before", "")), str(pair.get("after", "")))
        blocks.append(
            html(
                '<div class="sample"><p class="asked">{}</p><div class="two"><p>{}</p><p>{}</p></div></div>',
                pair.get("prompt", ""),
                before or Markup("<em>empty</em>"),
                after or Markup("<em>empty</em>"),
            )
        )
    if not blocks:
        return Markup()
    return html(
        '<div class="samples"><div class="two small names"><span>Before: {}</span><span>After: {}</span></div>{}</div>',
        before_name,
        after_name,
        Markup().join(blocks),
    )


def sparkline(values: Sequence[float], label: str, width: int = 160, height: int = 32) -> Markup:
    """A small line, for instance of the loss over the steps; empty below two values."""
    points = [value for value in values if math.isfinite(value)]
    if len(points) < 2:
        return Markup()
    low, high = min(points), max(points)
    span = (high - low) or 1.0
    coordinates = " ".join(
        f"{2 + (width - 4) * at / (len(points) - 1):.1f},{2 + (height - 4) * (1 - (value - low) / span):.1f}"
        for at, value in enumerate(points)
    )
    said = f"{label}: from {points[0]:.3f} to {points[-1]:.3f}"
    return html(
        '<svg class="spark" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        'aria-label="{said}"><title>{said}</title><polyline points="{coordinates}"/></svg>',
        width=width,
        height=height,
        said=said,
        coordinates=coordinates,
    )
