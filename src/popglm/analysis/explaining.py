"""What explains a fit: contributions of variables, what only they explain, and kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from popglm.analysis.fitted import is_held_out
from popglm.analysis.recipe import Recipe
from popglm.analysis.result import Result, fingerprint
from popglm.analysis.running import Matrices, build, grid_of, session_of
from popglm.design.past import Past
from popglm.estimators import SmoothGLM
from popglm.explain import bins, bootstrap, breakdown, compare, kernels
from popglm.explain.binning import Bins
from popglm.io.netcdf import storable
from popglm.variables import resolve_variables

__all__ = ["bins_of_recipe", "explain_result", "variables_to_explain", "with_explanation"]


def explain_result(recipe: Recipe, result: Result, tell: Callable[[str], None] = lambda _: None) -> Result:
    """A result with "/contributions", "/kernels" and, where the recipe asks for it, "/unique".

    Raises
    ------
    ValueError
        If the data are no longer those of the fit.
    """
    tell("read the recording")
    data = grid_of(recipe, session_of(recipe))
    matrices = build(recipe, data)
    if fingerprint(matrices) != result.about["fingerprint"]:
        raise ValueError(
            "the recording, or what the recipe makes of it, is not what was fitted (another fingerprint); fit again "
            "with popglm fit"
        )
    return with_explanation(recipe, result, data, matrices, tell)


def with_explanation(
    recipe: Recipe, result: Result, data: xr.Dataset, matrices: Matrices, tell: Callable[[str], None] = lambda _: None
) -> Result:
    """`explain_result` where the data are at hand."""
    model: Any = result.model
    explain = recipe.content.explain
    variables = variables_to_explain(recipe, matrices)
    by = bins_of_recipe(recipe, data, matrices.fitted)
    tell("contributions of variables")
    contributions = breakdown(
        model, matrices.X, matrices.Y, variables, by, held_out=is_held_out(model), **matrices.given
    )
    parts = {"/contributions": storable(contributions)}
    if explain.compare:
        tell("models without each variable")
        # curves have no folds, and are scored on the trials that were kept
        test = _test_of(matrices) if isinstance(model, SmoothGLM) else None
        by = by if test is None else bins_of_recipe(recipe, data, ~matrices.fitted)
        unique = compare(model, matrices.X, matrices.Y, variables, by, test=test, **matrices.given)
        parts["/unique"] = storable(unique)
    tell("kernels")
    found = kernels(model, matrices.design, n_points=explain.n_points)
    if explain.bootstrap:
        tell("bands of kernels")
        found = _with_bands(found, model, matrices, recipe)
    parts |= {f"/kernels/{k:03d}": storable(kernel) for k, kernel in enumerate(found.values())}
    return result.with_parts(parts)


def variables_to_explain(recipe: Recipe, matrices: Matrices) -> dict[str, list[str]]:
    """The groups of every variable, as the recipe says, or each variable of the design with its own.

    Raises
    ------
    ValueError
        If a variable of the recipe has no group.
    """
    wanted = recipe.content.explain.variables
    if wanted is None:
        return dict(_variables_of_design(matrices))
    try:
        return resolve_variables(wanted, list(matrices.design.terms_))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{recipe.place(('explain', 'variables'))}: {error}") from None


def _variables_of_design(matrices: Matrices) -> Mapping[str, list[str]]:
    """Every variable of the design, with the groups that it takes part in; those of a product are the multiplier's.

    "position × cue" is the cue's: at position alone the cue does nothing. So no group belongs to two variables. The
    past of all neurons is "history", where it is a neuron's own, and "coupling".
    """
    found: dict[str, list[str]] = {}
    for group, term in matrices.design.terms_.items():
        past = ("history" if term.own else "coupling") if isinstance(term, Past) else None
        found.setdefault(past or term.variables[-1], []).append(group)
    return found


def _test_of(matrices: Matrices) -> tuple[Any, ...]:
    """The trials that were kept from the fit, as `compare` takes them."""
    return matrices.X_test, matrices.Y_test, *(one for name, one in matrices.given_test.items() if name == "offset")


def bins_of_recipe(recipe: Recipe, data: xr.Dataset, rows: np.ndarray) -> list[Bins] | None:
    """The bins along variables that the recipe asks for, of some rows of the grid."""
    made = []
    for name, one in recipe.content.explain.by.items():
        if name not in data:
            raise ValueError(f"{recipe.place(('explain', 'by', name))}: {name!r} is no variable of this recipe")
        centers = np.linspace(one.low, one.high, one.n)
        spacing = (one.high - one.low) / max(one.n - 1, 1)
        values = data[name].isel(time=rows)
        made.append(bins(values, centers, one.half_width or spacing / 2 or 1.0, name=name, unit=one.unit))
    return made or None


def _with_bands(found: dict[str, xr.Dataset], model: Any, matrices: Matrices, recipe: Recipe) -> dict[str, xr.Dataset]:
    """Kernels with the limits of their bootstrapped bands."""
    explain = recipe.content.explain
    bands = bootstrap(
        model, matrices.design, matrices.X, matrices.Y, trial=matrices.trial, n_resamples=explain.bootstrap,
        n_points=explain.n_points, **matrices.given,
    )  # fmt: skip
    return {
        group: kernel.assign(
            {name: bands[group][name] for name in ("lower", "upper") if name in bands[group]}
        ).assign_attrs({name: bands[group].attrs[name] for name in ("level", "n_resamples", "seed")})
        for group, kernel in found.items()
    }
