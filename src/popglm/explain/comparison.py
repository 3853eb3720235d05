"""Model comparison: how much worse the best model does that never had a variable."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import check_flag, is_number
from popglm.estimators import GLMCV, ClassifierGLMCV, SmoothGLM, TwoPartGLM
from popglm.estimators.base import PopulationGLM
from popglm.estimators.classifier.base import CategoricalGLM
from popglm.estimators.validation import check_as_in_fit
from popglm.explain.binning import Bins, check_bins
from popglm.explain.class_comparison import tally_of_class_refits
from popglm.explain.contributions import (
    Activity,
    Predictor,
    Tally,
    check_data_of_fit,
    check_design_matrix,
    check_splits,
    neuron_blocks,
    rows_of,
)
from popglm.explain.data_of_fit import check_refittable, check_test
from popglm.explain.given_models import check_activity
from popglm.explain.maps import check_map
from popglm.explain.near_models import models_of_fits, slow_neurons
from popglm.explain.reduced_models import Refits, warn_of_late_refits
from popglm.explain.smooth_refits import add_smooth_refits, curves_of_fit
from popglm.explain.two_parts import part_of_test, tally_of_parts
from popglm.messages import shown
from popglm.variables import Variables, group_columns, resolve_variables

__all__ = ["compare"]


def compare(
    model: GLMCV | TwoPartGLM | ClassifierGLMCV | SmoothGLM,
    X: Any,
    Y: Any,
    variables: Variables = None,
    by: Bins | Iterable[Bins] | None = None,
    *,
    method: str = "remove",
    test: tuple[Any, ...] | None = None,
    reselect: bool = True,
    weaker: int | None = 1,
    sample_weight: Any = None,
    offset: Any = None,
    map: Callable[..., Iterable[Any]] = map,
) -> xr.Dataset:
    """Deviance that only a variable can explain, by fitting again without it.

    For every variable a model without its columns is fitted, cross-validated on the folds of the full model and
    selected by the same rule; the rise of the deviance is the variable's unique contribution. What correlated variables
    explain together belongs to none of them: see `breakdown` for the other view.

    Parameters
    ----------
    model : GLMCV, TwoPartGLM or ClassifierGLMCV; or SmoothGLM with ``test``
        Fitted to X and Y: the full model. Both parts of a `TwoPartGLM` are fitted again, and scored together. Responses
        of a classifier stand in the place of neurons, and a variable is there or not for all of their classes.
    X : array-like, DataFrame, RowStream or sparse matrix, shape (n_samples, n_features)
        The design matrix of the fit.
    Y : array-like or DataFrame, shape (n_samples, n_neurons)
        The activity of the fit, or its labels.
    variables : None, list of str, or mapping, optional
        As in `breakdown`.
    by : Bins or list of Bins, optional
        Bins made by `bins` from the rows that are scored: those of X, or of the test data.
    method : {"remove", "add"}
        "remove": all columns but the variable's. "add": the variable's columns alone, on top of the null model; its
        contribution is what that model explains.
    test : tuple of (X_test, Y_test) or (X_test, Y_test, offset_test), optional
        Score all models on these rows by the weights of the fits to all rows of X; unless given, each row of X is
        scored by the fold that held it out. The offset is needed if the fit had one; 0 asks for none.
    reselect : bool
        Select a strength for every re-fit, or choose those of smoothing; without, a neuron keeps those of the full
        model, and the re-fits take less than half the time.
    weaker : int or None
        With ``reselect``, a re-fit goes at least this many strengths below the best one of the full model, and to the
        last at which the full model's held-out deviance falls again, near its minimum. It ends once its own held-out
        deviance has clearly turned: where that lies above the best until then by more than 0.1 % of the null deviance,
        and by more than the standard error of that rise over folds. What falls below all before after such a rise is
        missed, which is rare, and least so for neurons that hardly anything predicts; None walks the whole path, as
        re-fits of a classifier always do.
    sample_weight, offset : array-like, optional
        As in the fit, and needed if that had them. With ``test`` they enter the fits alone. The offset of a
        `TwoPartGLM`, here and in ``test``, is a mapping, as in its fit.
    map : callable, optional
        As Python's ``map``, which is taken unless given: `popglm.dask_map` has the re-fits done by workers of Dask, a
        variable each.

    Returns
    -------
    xarray.Dataset
        As of `breakdown`, and ``selected_strength`` (neuron, variable), the λ of each re-fit; of a `TwoPartGLM` with a
        dimension ``part`` before these; none of a `SmoothGLM`.

    Raises
    ------
    TypeError
        If ``map`` is no such function, as a client of Dask is none.
    ValueError
        If the model is not cross-validated, X or Y are not those of its fit by number, labels or held-out deviance, a
        variable fits no group (the nearest are named), or variables overlap; if the fit had sample weights or an offset
        that are not given, or those given it did not have; if ``map`` is given and the rows of X lie on workers, which
        sum for one fit at a time.

    Warns
    -----
    ConvergenceWarning
        Names the variables whose re-fits left neurons outside `tol`.

    Notes
    -----
    Re-fits have the folds of the full model. Strengths at which no fold of a neuron has a weight in those columns are
    not fitted again. At every other one a fold of the re-fit begins where the same fold of the full model ended, less
    those columns, and goes on to its own minimum, within half of the model's `tol`: it learns nothing from other folds
    or from the fit to all rows. Under a penalty of feature groups it also begins with the curvature of that fold's fit,
    if such fits took many steps, and goes on to a fifth of `tol`. That is computed once for all variables of a call.
    With norms and X in memory, the re-fits of several variables share their passes over X, too: so variables take
    far less time together than one by one. A ``map`` other than Python's fits one at a time, and so do Gaussian models.

    References
    ----------
    Tseng, Chettih, Arlt, Barroso-Luque & Harvey (2022), Neuron 110, 2484-2502.

    Examples
    --------
    A variable and its copy: each can do without the other, so neither has anything to itself.

    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> speed, touch, trial = rng.normal(size=900), rng.normal(size=900), np.arange(900) // 10
    >>> session = {"speed": speed, "pace": speed, "touch": touch, "trial": trial}
    >>> X = pg.Design([pg.linear(v) for v in ("speed", "pace", "touch")], trial="trial").fit_transform(session)
    >>> Y = rng.poisson(np.exp(0.5 * speed + 0.5 * touch))
    >>> model = pg.GLMCV(penalty="ridge", n_lambdas=5).fit(X, Y, groups=trial)
    >>> pg.compare(model, X, Y).fraction_explained_deviance[0].to_series().round(1).abs().to_dict()
    {'speed': 0.0, 'pace': 0.0, 'touch': 0.6}
    >>> pg.breakdown(model, X, Y).fraction_explained_deviance[0].to_series().round(1).to_dict()
    {'speed': 0.1, 'pace': 0.1, 'touch': 0.6}
    """
    if not isinstance(method, str) or method not in ("remove", "add"):
        raise ValueError(f"compare: method={shown(method)} is unknown; use remove or add.")
    if weaker is not None and (not is_number(weaker, whole=True) or weaker < 0):
        raise ValueError(f"compare: weaker={shown(weaker)} must be a whole number of strengths, 0 or more, or None.")
    check_flag("compare", "reselect", reselect)
    check_map("compare", map, X)
    comparison = _Comparison(X, variables, by, method, reselect, weaker, sample_weight, offset, map)
    about = {"kind": "comparison", "method": method, "held_out": int(test is None)}
    if not isinstance(model, TwoPartGLM):
        tally, strengths = comparison.of(model, Y, test)
        found = tally.dataset(method == "add", **about)
        return found if strengths is None else found.assign(selected_strength=(("neuron", "variable"), strengths))
    chosen = []

    def tally_of(part: PopulationGLM, activity: Any, own_offset: Any) -> Tally:
        own = replace(comparison, offset=own_offset)
        tally, strengths = own.of(part, activity, part_of_test(model, part, test))
        chosen.append(np.asarray(strengths))
        return tally

    found = tally_of_parts(model, Y, offset, tally_of, "compare").dataset(method == "add", **about)
    return found.assign(selected_strength=(("part", "neuron", "variable"), np.stack(chosen))).assign_coords(
        part=["events", "amounts"]
    )


@dataclass(frozen=True, eq=False)
class _Comparison:
    """The arguments of `compare` that do not depend on the model."""

    X: Any
    variables: Variables
    by: Any
    method: str
    reselect: bool
    weaker: int | None
    sample_weight: Any
    offset: Any
    map: Callable[..., Iterable[Any]]

    def _of_curves(self, model: SmoothGLM, Y: Any, test: Any) -> Tally:
        """Deviances of curves, which have no folds to be scored by."""
        if test is None:
            raise ValueError(
                "compare: a SmoothGLM holds nothing out; give test=(X_test, Y_test) of trials that it was not fitted "
                "to, or a popglm.GLMCV."
            )
        data = curves_of_fit(model, self.X, Y, self.sample_weight, self.offset, "compare", whole=False)
        chosen = resolve_variables(self.variables, model.feature_group_names_)
        X_scored, Y_scored, offset = check_test(model, test, "compare")
        full = Predictor.make(model, X_scored, offset, held_out=False)
        axis = check_bins(self.by, len(X_scored), rows_of(model, test[0], held_out=False))
        tally = Tally(Activity.make(model, Y_scored, len(X_scored), full.rows, None, axis), list(chosen))
        add_smooth_refits(model, data, full, tally, chosen, self.method, self.reselect, self.map)
        return tally

    def of(self, model: Any, Y: Any, test: Any) -> tuple[Tally, np.ndarray | None]:
        """Deviances of a model with and without variables, and the strengths of re-fits (n_neurons, n_variables)."""
        if isinstance(model, CategoricalGLM):
            given = self.X, Y, self.sample_weight, self.offset
            options = self.variables, self.by, self.method, self.reselect, self.map
            return tally_of_class_refits(model, given, test, *options)
        if isinstance(model, SmoothGLM):
            return self._of_curves(model, Y, test), None
        check_refittable(model, "compare")
        values = check_design_matrix(model, self.X, "compare", held_out=True)
        check_splits(model, "compare")
        groups, sizes = model.feature_group_names_, model.feature_group_sizes_
        chosen = resolve_variables(self.variables, groups)
        labels = rows_of(model, self.X, held_out=True)
        sample_weight, offset = check_as_in_fit(
            model, self.sample_weight, self.offset, len(values), labels, "compare", refits=True
        )
        Y = check_activity(model, Y, len(values), labels)
        check_data_of_fit(model, values, Y, sample_weight, offset, "compare")
        X_scored, Y_scored, scored_offset = (values, Y, offset) if test is None else check_test(model, test, "compare")
        scored_weight = sample_weight if test is None else None
        full = Predictor.make(model, X_scored, scored_offset, test is None)
        axis = check_bins(self.by, len(X_scored), labels if test is None else rows_of(model, test[0], held_out=False))
        fold = model.fold_ if test is None else None
        scored = Activity.make(model, Y_scored, len(X_scored), full.rows, scored_weight, axis, folds=fold)
        tally = Tally(scored, list(chosen))
        activity = pd.DataFrame(Y, columns=model.neuron_names_)
        models = None
        # one for all variables; workers would each be sent them
        if self.method == "remove" and self.reselect and self.map is map:
            slow = slow_neurons(model, len(chosen))
            models = models_of_fits(model, values, Y, sample_weight, offset, test is not None, slow)
        refits = Refits(
            model, values, activity, sample_weight, offset, test is not None, self.reselect, self.weaker, models
        )
        blocks = list(neuron_blocks(len(X_scored), len(model.neuron_names_)))
        for neurons in blocks:
            tally.add_models(neurons, full.eta(neurons))
        columns = [group_columns(names, groups, sizes) for names in chosen.values()]
        kept = columns if self.method == "add" else [np.setdiff1d(np.arange(values.shape[1]), own) for own in columns]
        strengths, late = np.zeros(tally.reduced.shape), {}
        # workers have a variable each
        fits = refits.fit_together if self.map is map else partial(self.map, refits.fit)
        for v, fitted in enumerate(fits(list(chosen), kept)):
            reduced, strengths[:, v], late[fitted.variable] = fitted.predictor(full), fitted.strength, fitted.late
            for neurons in blocks:
                tally.add_reduced(neurons, v, reduced.eta(neurons))
        warn_of_late_refits(model, late)
        return tally, strengths
