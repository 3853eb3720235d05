"""What a recipe would fit, before it is fitted: trials, rates, gaps, collinear groups, time and memory."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from popglm.analysis.collinear import ALIKE, WHOLLY, collinearity_of
from popglm.analysis.cost import FitShape, Rates, parts_of_cost, with_threads
from popglm.analysis.explaining import bins_of_recipe, variables_to_explain
from popglm.analysis.recipe import Recipe
from popglm.analysis.running import Matrices, build, check_activity, fit_recipe, grid_of, session_of
from popglm.analysis.time_scale import doubts_of_unit
from popglm.engines.threads import usable_cores
from popglm.messages import listed
from popglm.recording.clocks import clock_faults, longest_step

__all__ = ["check_recipe"]

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


def check_recipe(recipe: Recipe) -> Findings:
    """Read the session, make the design, and say what a fit would meet; nothing is fitted."""
    findings = Findings()
    session = session_of(recipe)
    findings.facts["session"] = repr(session)
    faults = clock_faults(session)
    try:
        data = grid_of(recipe, session)
    except (ValueError, TypeError) as error:
        findings.faults.extend(str(error).splitlines())
        told = set(findings.faults)
        findings.warnings.extend(str(fault) for fault in faults if str(fault) not in told)
        return findings
    # clocks that the recipe does not use do no harm
    findings.warnings.extend(f"not used here: {fault}" for fault in faults)
    findings.warnings.extend(line for line in str(data.attrs["notes"]).splitlines() if line)
    _look_at_time(data, findings)
    _look_at_activity(data, findings)
    try:
        matrices = build(recipe, data)
    except (ValueError, TypeError) as error:
        findings.faults.append(str(error))
        return findings
    _look_at_design(matrices.X, findings)
    _look_between_groups(matrices, findings)
    _look_at_masks(recipe, matrices, findings)
    _try_model(recipe, matrices, findings)
    _try_explanation(recipe, data, matrices, findings)
    _expect(recipe, matrices.X.shape, matrices.Y.shape[1], findings)
    return findings


def _try_model(recipe: Recipe, matrices: Matrices, findings: Findings) -> None:
    """Whether the model can be fitted at all: one neuron, one step at each strength."""
    short = recipe.content.model_copy(update={"model": {**recipe.content.model, "max_iter": 1}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # every neuron's activity, since one alone is tried
            check_activity(recipe, matrices)
            fit_recipe(replace(recipe, content=short), matrices.of_neurons(slice(0, 1)))
        except (ValueError, TypeError, ImportError) as error:
            findings.faults.append(str(error))


def _try_explanation(recipe: Recipe, data: xr.Dataset, matrices: Matrices, findings: Findings) -> None:
    """Whether the variables to explain are there."""
    try:
        variables_to_explain(recipe, matrices)
        bins_of_recipe(recipe, data, matrices)
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


def _look_at_design(X: Any, findings: Findings) -> None:
    """Columns, and the condition number of every group."""
    groups = X.columns.get_level_values("group")
    numbers = {}
    for group in dict.fromkeys(groups):
        values = np.linalg.svd(X.loc[:, groups == group].to_numpy(np.float64), compute_uv=False)
        used = values[values > FLAT * values[0]]
        numbers[str(group)] = float(used[0] / used[-1]) if len(used) else float("inf")
        # columns of B-splines add up to a constant: less that, they have one direction fewer than columns
        if len(values) - len(used) > 1 or not len(used) or numbers[str(group)] > COLLINEAR:
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
    found = collinearity_of(X.to_numpy(), X.columns.get_level_values("group").astype(str).to_numpy())
    if found is None:
        return
    findings.facts["explained_by_other_groups"] = found.explained
    told: set[frozenset[str]] = set()
    for group, others in found.by.items():
        several = frozenset([group, *others])
        if several not in told:
            told.add(several)
            # products with every category add up to the term itself
            is_factor = any(other.startswith(f"{group} × ") for other in others)
            remedy = "leave it out with alone = false" if is_factor else "leave one of them out"
            findings.warnings.append(
                f"{group!r} says what {' and '.join(map(repr, others))} {'say' if len(others) > 1 else 'says'}: "
                f"{100 * found.explained[group]:.3g} % of its variance is explained by other groups, so a fit cannot "
                f"tell them apart; {remedy}"
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
    """Time and memory that a fit takes, about."""
    expected = FitShape.of_recipe(recipe, *shape, n_neurons)
    seconds = sum(with_threads(parts_of_cost(expected, rates=Rates.here()), usable_cores()).values())
    findings.facts.update(
        {
            "fit_seconds_about": float(f"{seconds:.2g}"),
            "fit_memory_mb_about": round(expected.memory / 1e6),
        }
    )
