"""Clocks that disagree with most of their recording: in another unit, or counted from another start.

What most kinds of parts have in common, and then most clocks, is taken to be right. Series that share a clock, such as
columns of one table, count once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from popglm import toml_text
from popglm.messages import listed

__all__ = ["Extent", "Fault", "odd_clocks", "period_fault", "scale_line", "seconds", "shift_line", "unless"]

#: Spans of clocks of one recording differ by no more than this factor; those that agree, by no more than the second.
MOST_RATIO, ALIKE = 100.0, 10.0
#: How far a ratio of spans may be off a unit, as a factor, and the ends of a span off another's, as a share of it.
LIKELY, NEAR = 1.25, 0.25
#: Sampling rates of common acquisition boards (Hz), and names of units smaller and larger than a second.
BOARDS = (2_000, 2_500, 5_000, 10_000, 12_500, 20_000, 24_414.0625, 25_000, 30_000, 32_000, 40_000, 44_100, 48_000)
SMALLER = {1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}
SMALLER |= {float(rate): f"samples of a board at {rate:g} Hz" for rate in BOARDS}
LARGER = {60.0: "minutes", 3_600.0: "hours", 86_400.0: "days"}
#: What stands in a remedy for a number that nothing in the recording tells.
UNKNOWN_SCALE, UNKNOWN_SHIFT = "<seconds per unit of its times>", "<seconds to add, from a sync pulse>"


@dataclass(frozen=True)
class Fault:
    """A clock that cannot be right.

    Attributes
    ----------
    part : str
        Name of the activity, signal, events or intervals.
    sentence : str
        What was found, and its likely cause.
    remedy : str
        The line of a recipe that mends it; empty where the file itself must be mended. What stands between < and > is
        a number that the recording does not tell.
    """

    part: str
    sentence: str
    remedy: str = ""

    def __str__(self) -> str:
        """Both in one sentence."""
        return self.sentence + (f"; if so, mend it with the line {self.remedy}" if self.remedy else "")

    @property
    def is_mendable(self) -> bool:
        """Whether the remedy says by how much."""
        return bool(self.remedy) and not self.remedy.endswith((UNKNOWN_SCALE, UNKNOWN_SHIFT))


@dataclass(frozen=True)
class Extent:
    """From when to when a part lasts (s).

    Attributes
    ----------
    part : str
    start, stop : float
    kind : str
        "activity", "signals", "events" or "trials". Events may well span little, and trials too.
    vouched : str
        What somebody has mended or said to be right: "" for nothing, "unit", or "all".
    rate : float
        Of a series that has one (Hz), else ∞.
    n : int
        Samples.
    """

    part: str
    start: float
    stop: float
    kind: str = "signals"
    vouched: str = ""
    rate: float = np.inf
    n: int = 0

    @property
    def length(self) -> float:
        """How long it lasts (s)."""
        return self.stop - self.start

    @property
    def label(self) -> str:
        """What messages call it."""
        return "the trials" if self.kind == "trials" else repr(self.part)

    def overlaps(self, other: Extent) -> bool:
        """Whether both have some time in common."""
        return self.start <= other.stop and other.start <= self.stop


def odd_clocks(extents: Sequence[Extent]) -> list[Fault]:
    """Faults of the clocks whose unit or start is not that of most."""
    known = [one for one in extents if one.length > 0]
    voters = _voters(known)
    if len(known) < 2:
        return []
    base = _of_most_units(voters)
    faults, good = [], []
    for one in known:
        fault = None if one.vouched else _unit_fault(one, base)
        if fault is None:
            good.append(one)
        else:
            faults.append(fault)
    if _voters(good):
        reference = _of_most_starts(_voters(good))
        odd = [one for one in good if one.vouched != "all" and not one.overlaps(reference)]
        faults += [_start_fault(one, reference, odd) for one in odd]
    return faults


def _voters(known: Sequence[Extent]) -> list[Extent]:
    """A part for every clock, trials where they share one; events only where there is nothing else."""
    lasting = [one for one in known if one.kind != "events"] or list(known)
    found: dict[tuple[float, float], Extent] = {}
    for one in sorted(lasting, key=lambda one: one.kind != "trials"):
        found.setdefault((one.start, one.stop), one)
    order = {id(one): k for k, one in enumerate(known)}
    return sorted(found.values(), key=lambda one: order[id(one)])


def _of_most_units(voters: list[Extent]) -> list[Extent]:
    """The largest set of clocks of about the same length, the trials or the middle one first."""
    votes = [_votes([one for one in voters if _alike(one, other)]) for other in voters]
    best = [one for one, own in zip(voters, votes, strict=True) if own == max(votes)]
    if any(one.vouched == "unit" for one in best):
        best = [one for one in best if any(_alike(one, other) for other in best if other.vouched == "unit")]
    short, long = (pick(best, key=lambda one: one.length) for pick in (min, max))
    if not _alike(short, long):
        # as many on either side: those with times in hours are wrong, or those in milliseconds, or not the trials
        trials = next((one for one in best if one.kind == "trials"), short)
        right = long if _larger_unit(short, long) else short if _is_likely(long.length / short.length) else trials
        best = [one for one in best if _alike(one, right)]
    best = sorted(best, key=lambda one: one.length)
    first = next((one for one in best if one.kind == "trials"), best[len(best) // 2])
    return [first, *(one for one in voters if one is not first and _alike(one, first))]


def _alike(one: Extent, other: Extent) -> bool:
    """Whether two clocks last about as long."""
    return bool(one.length <= ALIKE * other.length and other.length <= ALIKE * one.length)


def _larger_unit(short: Extent, long: Extent) -> float | None:
    """Seconds per unit of the shorter clock, if it is the longer one in minutes, hours or days."""
    for factor in LARGER:
        off = max(abs(short.start * factor - long.start), abs(short.stop * factor - long.stop))
        # a series that is a minute long at the start of an hour is no rarity: both ends must fit
        fits = off <= NEAR * long.length or factor > MOST_RATIO
        if fits and 1 / LIKELY <= long.length / short.length / factor <= LIKELY:
            return factor
    return None


def _smaller_unit(ratio: float) -> float:
    """Units per second of the likeliest unit of a clock that lasts so many times too long."""
    return min(SMALLER, key=lambda factor: abs(np.log(ratio / factor)))


def _is_likely(ratio: float) -> bool:
    """Whether that unit explains the ratio."""
    return 1 / LIKELY <= ratio / _smaller_unit(ratio) <= LIKELY


def _unit_fault(one: Extent, base: list[Extent]) -> Fault | None:
    """A span that is another's a hundred times over or less, or exactly a sixtieth."""
    reference = base[0]
    ratio = one.length / reference.length
    # series of a recording last about as long as each other, and longer than its trials
    usual = max((other for other in base if other.part != one.part), key=lambda other: other.length, default=reference)
    larger = _larger_unit(one, usual)
    found = _disagreement(one, reference)
    if ratio > MOST_RATIO:
        if one.rate < 1 and reference.length >= one.length * one.rate**2 / 3:
            # as the period that it may be, a rate gives a span that is shorter by its square
            return period_fault(one.part, one.n, one.rate)
        factor = _smaller_unit(one.length / usual.length)
        if _is_likely(one.length / usual.length):
            return Fault(one.part, f"{found}; times are likely in {SMALLER[factor]}", scale_line(one.part, 1 / factor))
        return Fault(one.part, f"{found}; times are in another unit, such as {SMALLER[factor]}", scale_line(one.part))
    if larger is not None and one.kind != "events":
        found += f"; times are likely in {LARGER[larger]}, which is another unit than that of {reference.label}"
        return Fault(one.part, found + unless(one.part), scale_line(one.part, larger))
    if ratio < 1 / MOST_RATIO and one.kind in ("activity", "signals"):
        found += f"; it is short, or in another unit than {reference.label}"
        return Fault(one.part, found + unless(one.part), scale_line(one.part))
    return None


def _start_fault(one: Extent, reference: Extent, odd: list[Extent]) -> Fault:
    """A clock that counts from another start. Where it does is never proposed: any number would look like the truth."""
    sharing = [other for other in odd if other is not one and other.overlaps(one)]
    rough = reference.start - min(other.start for other in [one, *sharing])
    sentence = (
        f"{_disagreement(one, reference)}, which do not overlap; they likely count from another start. Only a sync "
        f"pulse or the acquisition log tells the shift. It is roughly {rough:,.0f} s if both began together, a guess "
        "that may be off by seconds or minutes"
    )
    if sharing:
        labels = listed([other.label for other in sharing])
        sentence += f"; {labels} {'counts' if len(sharing) == 1 else 'count'} from that start too: give all the same"
    return Fault(one.part, sentence, shift_line(one.part))


def _of_most_starts(voters: list[Extent]) -> Extent:
    """The clock that most others overlap; of several the trials, or the first."""
    votes = {id(one): _votes([other for other in voters if one.overlaps(other)]) for one in voters}
    return max(voters, key=lambda one: (votes[id(one)], one.kind == "trials"))


def _votes(agreeing: list[Extent]) -> tuple[int, int]:
    """How many kinds of parts agree, and how many clocks."""
    return len({one.kind for one in agreeing}), len(agreeing)


def _disagreement(one: Extent, reference: Extent) -> str:
    """From when to when two parts last."""
    verb = "last" if one.kind == "trials" else "lasts"
    return (
        f"{one.label} {verb} from {seconds(one.start)} to {seconds(one.stop)} s, but {reference.label} from "
        f"{seconds(reference.start)} to {seconds(reference.stop)} s"
    )


def unless(part: str) -> str:
    """How to say that nothing is wrong."""
    return f". If it is right as it is, say so with the line clock_scale.{toml_text.key(part)} = 1"


def scale_line(part: str, scale: float | None = None) -> str:
    """The line that mends a unit."""
    value = UNKNOWN_SCALE if scale is None else f"{scale:.15g}"
    return f"clock_scale.{toml_text.key(part)} = {value}"


def shift_line(part: str, shift: float | None = None) -> str:
    """The line that mends a start."""
    value = UNKNOWN_SHIFT if shift is None else f"{shift:.15g}"
    return f"clock_shift.{toml_text.key(part)} = {value}"


def seconds(time: float) -> str:
    """A time in short, but to the millisecond where it has many digits."""
    return f"{time:.6g}" if abs(time) < 1e5 else f"{time:.3f}".rstrip("0").rstrip(".")


def period_fault(name: str, n: int, rate: float) -> Fault:
    """A rate that is a period."""
    sentence = f"{name!r} has {n:,} samples at a rate of {rate:g} Hz, {n / rate / 3600:,.3g} hours; the rate is likely "
    true = f"{1 / rate:.15g}"
    return Fault(
        name, f"{sentence}the period, and the true rate {true} Hz", f"clock_rate.{toml_text.key(name)} = {true}"
    )
