"""What a recipe would fit, before it is fitted: trials, rates, gaps, collinear groups, time and memory."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.analysis.collinear import ALIKE, MOST_COLUMNS, ROWS_PER_COLUMN, WHOLLY, collinearity_of
from popglm.analysis.cost import FitShape, Rates, parts_of_cost, with_threads
from popglm.analysis.explaining import bins_of_recipe, variables_to_explain
from popglm.analysis.kinds import has_known_cost, shortened
from popglm.analysis.recipe import Recipe
from popglm.analysis.responses import class_counts, responses_of
from popglm.analysis.running import (
    Matrices,
    build,
    check_activity,
    fit_recipe,
    grid_of,
    session_of,
    trial_source,
)
from popglm.analysis.time_scale import doubts_of_unit
from popglm.design import Design
from popglm.engines.threads import usable_cores
from popglm.messages import listed
from popglm.recording import Session
from popglm.recording.clocks import clock_faults, longest_step
from popglm.recording.trials import table_of_trials, with_trials
from popglm.warnings import PopglmWarning

__all__ = ["check_recipe"]

#: Shares of the samples above which it is told that they lie out of the reach of bumps, or are unknown.
OUT_OF_REACH, UNKNOWN = 0.2, 0.05
#: A condition number above the first is told: some direction of the group has hardly any variance. Directions with
#: less than the second's share of the largest singular value have none.
COLLINEAR, FLAT = 1e4, 1e-6


@dataclass(frozen=True)
class Findings:
    """What `check_recipe` found.

    Attributes
    ----------
    facts : dict
        By name, as JSON can hold them.
    warnings : list of str
        What to look at before a fit.
    faults : list of str
        What forbids a fit.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def for_people(self) -> dict[str, Any]:
        """The facts as text has them: without empty ones, and trials as "32 of 42" where some have no bin."""
        facts = {name: fact for name, fact in self.facts.items() if name != "trials_in_all" and fact != {}}
        n, n_all = self.facts.get("trials"), self.facts.get("trials_in_all")
        return facts if n == n_all else facts | {"trials": f"{n:,} of {n_all:,}"}


def check_recipe(recipe: Recipe) -> Findings:
    """Read the session, make the design, and say what a fit would meet; nothing is fitted."""
    findings = Findings()
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PopglmWarning)
            _look(recipe, findings)
        # of readers and of the design
        findings.warnings[:0] = [str(one.message) for one in caught if issubclass(one.category, PopglmWarning)]
        caught = [one for one in caught if not issubclass(one.category, PopglmWarning)]
    finally:
        # of other libraries; or all, where there are no findings
        for one in caught:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return findings


def _look(recipe: Recipe, findings: Findings) -> None:
    """Fill in what is found."""
    session = session_of(recipe)
    findings.facts["session"] = repr(session)
    faults = clock_faults(session)
    try:
        data = grid_of(recipe, session)
    except (ValueError, TypeError) as error:
        findings.faults.extend(str(error).splitlines())
        told = set(findings.faults)
        findings.warnings.extend(str(fault) for fault in faults if str(fault) not in told)
        return
    # clocks that the recipe does not use do no harm
    findings.warnings.extend(f"not used here: {fault}" for fault in faults)
    findings.warnings.extend(line for line in str(data.attrs["notes"]).splitlines() if line)
    _look_at_time(data, findings)
    findings.facts["trials_in_all"] = _number_of_trials(recipe, session) or findings.facts["trials"]
    if "activity" in data:
        _look_at_activity(data, findings)
    if recipe.content.fit.responses:
        _look_at_responses(recipe, data, findings)
    try:
        matrices = build(recipe, data)
    except (ValueError, TypeError) as error:
        findings.faults.append(str(error))
        return
    _look_at_variables(recipe, data.isel(time=matrices.fitted), matrices.design, findings)
    _look_at_design(matrices.X, findings)
    _look_between_groups(matrices, findings)
    _look_at_masks(recipe, matrices, findings)
    _try_model(recipe, matrices, findings)
    _try_explanation(recipe, data, matrices, findings)
    if not findings.faults:
        _expect(recipe, matrices.X.shape, matrices.Y.shape[1], findings)


def _try_model(recipe: Recipe, matrices: Matrices, findings: Findings) -> None:
    """Whether the model can be fitted at all: one neuron, one step at each strength."""
    short = recipe.content.model_copy(update={"model": shortened(recipe.content.model)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # every neuron's activity, since one alone is tried
            check_activity(recipe, matrices)
            lambdas = recipe.content.model.get("lambdas")
            each = isinstance(lambdas, list) and any(isinstance(row, list) for row in lambdas)
            # strengths of each neuron are those of all
            some = slice(None) if each else _one_to_try(matrices)
            fit_recipe(replace(recipe, content=short), matrices.of_neurons(some))
        except (ValueError, TypeError, ImportError) as error:
            findings.faults.append(str(error))


def _one_to_try(matrices: Matrices) -> slice:
    """The first neuron with samples of 0 and others, or the first; all responses of a classifier, which are few."""
    if matrices.Y.dtype == object:
        return slice(None)
    values = matrices.Y.transpose("time", "neuron").values
    both = (values == 0).any(axis=0) & (values != 0).any(axis=0)
    j = int(both.argmax())
    return slice(j, j + 1)


def _try_explanation(recipe: Recipe, data: xr.Dataset, matrices: Matrices, findings: Findings) -> None:
    """Whether the variables to explain are there."""
    try:
        variables_to_explain(recipe, matrices)
        bins_of_recipe(recipe, data, matrices.fitted)
    except (ValueError, TypeError) as error:
        findings.faults.append(str(error))


def _look_at_time(data: xr.Dataset, findings: Findings) -> None:
    """Bins, trials and gaps."""
    times, trial = data["time"].values, data["trial"].values
    lengths = np.unique(trial, return_counts=True)[1]
    steps = np.diff(times)
    same = trial[1:] == trial[:-1]
    gaps = int((steps[same] > longest_step(times)).sum())
    findings.facts.update(
        {
            "bins": len(times),
            "bin_width_s": float(data.attrs["bin_width"]),
            "trials": len(lengths),
            "trial_bins_median": float(np.median(lengths)),
            "gaps_within_trials": gaps,
        }
    )
    findings.warnings.extend(doubts_of_unit(times, trial, float(data.attrs["bin_width"])))
    if gaps:
        findings.warnings.append(f"{gaps:,} gaps lie within trials; no lag crosses them")
    if len(lengths) < 20:
        findings.warnings.append(f"{len(lengths)} trials are few for cross-validation by trial")


def _number_of_trials(recipe: Recipe, session: Session) -> int | None:
    """How many trials there are, with a bin or without; None for blocks, which are made of bins."""
    parts, whose = with_trials(session, trial_source(recipe, session))
    return None if whose is None else len(table_of_trials(parts, whose, recipe.content.trials.none))


def _look_at_variables(recipe: Recipe, data: xr.Dataset, design: Design, findings: Findings) -> None:
    """Variables that are unknown, and those that lie out of the reach of their bumps."""
    told = recipe.content.variables or {}
    unknown = {name: float(pd.isna(data[name].values).mean()) for name in recipe.variables_read()}
    findings.facts["unknown_variables"] = {name: share for name, share in unknown.items() if share}
    for name, share in unknown.items():
        where = getattr(told.get(name), "where", None)
        if share == 1:
            findings.warnings.append(f"{name!r} is unknown in all samples: nothing can be explained by it")
        elif share > UNKNOWN and where is None:
            of_it = {group: term.variables for group, term in design.terms_.items() if name in term.variables}
            # in a product another variable may be unknown
            groups = [group for group, names in of_it.items() if len(names) == 1] or list(of_it)
            is_mean = bool(design.report_.loc[groups, "unknown"].gt(0).any())
            findings.warnings.append(
                f"{name!r} is unknown in {_percent(share)} of the samples, "
                + ("which count as its mean" if is_mean else "where its basis functions are 0")
            )
    far: dict[str, float] = {}
    for reach in dict.fromkeys(reach for term in design.terms_.values() for reach in term.reaches()):
        values = data[reach.variable].values.astype(np.float64)
        known = values[~np.isnan(values)]
        share = float(((known < reach.support[0]) | (known > reach.support[1])).mean()) if len(known) else 0.0
        far[reach.variable] = max(share, far.get(reach.variable, 0.0))
        # of bumps that no sample reaches the design warns
        if OUT_OF_REACH < share < 1:
            findings.warnings.append(
                f"{_percent(share)} of the samples of {reach.variable!r} lie outside {reach.low:g} to {reach.high:g}, "
                "the range of its bumps; is the unit right?"
            )
    findings.facts["out_of_reach"] = {name: share for name, share in far.items() if share}


def _percent(share: float) -> str:
    """A share in percent, never rounded to all or none."""
    return f"{min(max(100 * share, 0.1), 99.9):.3g} %"


def _look_at_activity(data: xr.Dataset, findings: Findings) -> None:
    """Rates, silent neurons and unknown samples."""
    activity = data["activity"].values
    known = np.isfinite(activity)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, activity, 0).sum(axis=0) / known.sum(axis=0)
    silent = data["neuron"].values[~(np.abs(np.where(known, activity, 0)) > 0).any(axis=0)]
    findings.facts.update(
        {
            "neurons": activity.shape[1],
            "silent_neurons": len(silent),
            "mean_activity_median": float(np.nanmedian(mean)) if len(mean) else None,
            "unknown_activity": float(1 - known.mean()) if known.size else 0.0,
            "negative_activity": bool((activity[known] < 0).any()),
        }
    )
    lost = data["neuron"].values[known.mean(axis=0) < 0.5]
    if len(lost):
        some = ", ".join(map(str, lost[:5])) + (" …" if len(lost) > 5 else "")
        findings.warnings.append(f"the activity of {len(lost):,} neurons is unknown in most bins: {some}")
    if len(silent):
        some = ", ".join(map(str, silent[:5])) + (" …" if len(silent) > 5 else "")
        findings.warnings.append(f"{len(silent):,} neurons are silent all the time: {some}")


def _look_at_responses(recipe: Recipe, data: xr.Dataset, findings: Findings) -> None:
    """Classes of the responses of a classifier, and responses that the design reads, too."""
    responses = recipe.content.fit.responses
    findings.facts["classes"] = class_counts(responses_of(data, responses))
    read = {name: term for term in recipe.design().terms for name in getattr(term, "variables", ())}
    for name in responses:
        if name in read:
            findings.warnings.append(
                f"{name!r} is a response, and a variable of the term {read[name].name!r}: what it is at the time tells "
                "itself; leave that term out, or read its past alone, with shifts"
            )


def _look_at_design(X: Any, findings: Findings) -> None:
    """Columns, and the condition number of every group."""
    groups = X.columns.get_level_values("group")
    numbers = {}
    for group in dict.fromkeys(groups):
        values = np.linalg.svd(X.loc[:, groups == group].to_numpy(np.float64), compute_uv=False)
        used = values[values > FLAT * values[0]]
        numbers[str(group)] = float(used[0] / used[-1]) if len(used) else float("inf")
        # columns of B-splines add up to a constant: less that, they have one direction fewer than columns
        # of groups that are constant, or unknown, the design warns
        if len(used) and (len(values) - len(used) > 1 or numbers[str(group)] > COLLINEAR):
            findings.warnings.append(
                f"columns of {group!r} are collinear: {len(used)} directions in {len(values)} columns, with a "
                f"condition number of {numbers[str(group)]:.3g}"
            )
    findings.facts.update({"columns": X.shape[1], "groups": len(numbers), "condition_numbers": numbers})


def _look_between_groups(matrices: Matrices, findings: Findings) -> None:
    """Groups that others explain, and the pair that is most alike."""
    X, mask = matrices.X, matrices.mask
    if mask is not None:
        # groups that are never beside each other, such as history and coupling of a neuron, may say the same
        j = int(mask.to_numpy().sum(axis=0).argmax())
        X = X.loc[:, X.columns.get_level_values("group").isin(mask.index[mask.iloc[:, j]])]
    groups = X.columns.get_level_values("group").astype(str).to_numpy()
    found = collinearity_of(X.to_numpy(), groups)
    if found is None:
        if len(set(groups)) > 1:
            findings.facts["feature_groups_not_compared"] = (
                f" {X.shape[1]:,} columns in {len(X):,} samples are too many (at most {MOST_COLUMNS:,}, and "
                f"{ROWS_PER_COLUMN} samples for each)"
            )
        return
    findings.facts["explained_by_other_groups"] = found.explained
    told: set[frozenset[str]] = set()
    for group, others in found.by.items():
        several = frozenset([group, *others])
        if several not in told:
            told.add(several)
            findings.warnings.append(
                f"{group!r} says what {' and '.join(map(repr, others))} {'say' if len(others) > 1 else 'says'}: "
                f"{100 * found.explained[group]:.3g} % of its variance is explained by other groups, so a fit cannot "
                "tell them apart; leave one of them out"
            )
    n_more = sum(share >= WHOLLY for share in found.explained.values()) - len(found.by)
    if n_more:
        findings.warnings.append(f"{n_more:,} more feature groups say what others say")
    one, other, correlation = found.alike
    if correlation > ALIKE and not any({one, other} <= several for several in told):
        findings.warnings.append(
            f"{one!r} and {other!r} have a direction in common (canonical correlation {correlation:.3f}), whose weight "
            "a fit may give to either"
        )


def _look_at_masks(recipe: Recipe, matrices: Matrices, findings: Findings) -> None:
    """Which neurons the feature groups may explain."""
    mask = matrices.mask
    if mask is None:
        return
    columns = mask.to_numpy().T
    findings.facts["neurons_per_group"] = {str(group): int(n) for group, n in mask.sum(axis=1).items()}
    # neurons with the same groups are fitted together
    findings.facts["kinds_of_neurons"] = len(np.unique(columns, axis=0))
    for group, n in mask.sum(axis=1).items():
        if n == 0:
            findings.warnings.append(f"no neuron may be explained by {group!r}; look at [masks]")
    bare = mask.columns[~columns.any(axis=1)]
    if len(bare):
        findings.warnings.append(
            f"{len(bare):,} neurons have no feature group, and are fitted as the null model: {listed(bare)}"
        )


def _expect(recipe: Recipe, shape: tuple[int, int], n_neurons: int, findings: Findings) -> None:
    """Time and memory that a fit takes, about, if it is of a kind whose cost was measured."""
    if not has_known_cost(recipe.content.model):
        return
    expected = FitShape.of_recipe(recipe, *shape, n_neurons)
    seconds = sum(with_threads(parts_of_cost(expected, rates=Rates.here()), usable_cores()).values())
    findings.facts.update(
        {
            "fit_seconds_about": float(f"{seconds:.2g}"),
            "fit_memory_mb_about": round(expected.memory / 1e6),
        }
    )
