"""Which neurons, and which variables, beat chance: held-out fits beside those to surrogates of the activity."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from popglm.checks import MOST_DRAWS, check_count, check_flag, check_room, check_seed
from popglm.estimators import GLMCV, ClassifierGLMCV, SmoothGLM
from popglm.estimators.classifier.base import CategoricalGLM
from popglm.explain.ablation import shares_of_null_deviance
from popglm.explain.choice import METHODS, Layout, Method, spread
from popglm.explain.class_local_significance import LocallyTestedClasses
from popglm.explain.class_significance import TestedClasses
from popglm.explain.contributions import Predictor, check_design_matrix
from popglm.explain.data_of_fit import check_refittable, has_one_minimum, has_stages
from popglm.explain.full_refits import full_refits
from popglm.explain.maps import check_map
from popglm.explain.moved_columns import MovedTest
from popglm.explain.refits import LocalTest
from popglm.explain.shift_p_values import degrees_of_freedom, widened
from popglm.explain.shifts import ShiftTest, unique_columns
from popglm.explain.smooth_significance import TestedCurves
from popglm.explain.surrogate_maker import SurrogateMaker, warn_of_unused_strata
from popglm.explain.surrogates import draw_offsets
from popglm.explain.tested import TestedData, table_of_tests
from popglm.messages import shown
from popglm.statistics.selection import select_strengths
from popglm.variables import Variables, group_columns, resolve_variables

__all__ = ["significance"]

#: Fractions of deviance this close are equal: rounding in the Fourier transforms must not break a tie.
TIE = 1e-9


def significance(
    model: GLMCV | ClassifierGLMCV | SmoothGLM,
    X: Any,
    Y: Any,
    variables: Variables = None,
    *,
    trial: Any,
    method: str = "auto",
    strata: Any = None,
    n_shifts: int = 1000,
    seed: int = 0,
    refit: bool | None = None,
    sample_weight: Any = None,
    offset: Any = None,
    map: Callable[..., Iterable[Any]] = map,
) -> xr.Dataset:
    r"""Test held-out deviance explained, and contributions of variables, against surrogates of the activity.

    Parameters
    ----------
    model : GLMCV, ClassifierGLMCV or SmoothGLM
        Fitted to X and Y. Responses of a classifier stand in the place of neurons; see Notes for both others.
    X : array-like or DataFrame, shape (n_samples, n_features)
    Y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
        Rows in order of time.
    variables : list of str, or mapping, optional
        Whose contributions to test, as in `breakdown`; None tests the whole model alone.
    trial : array-like, shape (n_samples,)
        Trial of every sample, ``np.arange(n_samples)`` where a row is a trial. Shifts are at least as long as the
        longest trial, from both ends of the recording, so that no activity lands in its own trial.
    method : {"auto", "circular_shift", "trial_permutation", "time_in_trial"}
        What surrogates of the activity are made by; "auto" chooses for the model and for every variable, and says
        why. See Notes.
    strata : array-like, shape (n_samples,), optional
        Trials are exchanged with trials of the same stratum alone: a block of the task, a session, another variable.
        A warning tells of tests that exchange no trials, where strata play no part.
    n_shifts : int
        Surrogates of every neuron, all different. No p-value is below ``1 / (1 + n_shifts)``, and where activity is
        slow and the recording short, p-values of shifts stay a little above that: 19 are too few to find p ≤ .05.
    seed : int
        Of the generator ``numpy.random.default_rng(seed)`` that draws them.
    refit : bool, optional
        Unless given, every surrogate is fitted anew by the model's local refit, see Notes. True fits the model itself,
        ``n_shifts × (1 + number of variables)`` times, and False keeps the fitted weights; of models of activity both
        are circular shifts. A classifier is fitted, locally or itself, by all methods, and a `SmoothGLM` always itself.
    sample_weight, offset : array-like, shape (n_samples,), optional
        Those of the fit. Weights belong to the rows of X and stay with their time, but for ``refit=False``, where they
        go with the activity. The offset stays with its time: what is shifted are then the residuals of the null model
        with offset, in units of their standard deviation. That of a classifier goes with its labels.
    map : callable, optional
        As Python's ``map``, which is taken unless given: `popglm.dask_map` has the tests of variables, or with
        ``refit=True`` the shifts, done by workers of Dask.

    Returns
    -------
    xarray.Dataset
        ``deviance_explained`` (neuron), that of the model; ``statistic`` (neuron), what is compared with
        ``deviance_explained_null`` (shift, neuron); ``p_value`` and ``q_value`` (neuron). With `variables` also
        ``contribution`` (neuron, variable), the fraction of the null deviance in `breakdown` with ``method="zero"``;
        ``contribution_statistic`` (neuron, variable) and ``contribution_null`` (shift, neuron, variable);
        ``contribution_p_value`` and ``contribution_q_value`` (neuron, variable); and the methods that were chosen,
        ``contribution_method`` and ``contribution_reason`` (variable). Those of the whole model are the attributes
        ``method`` and ``reason``. A null is NaN where a neuron needed no more surrogates. p-values are one-sided;
        q-values control the false-discovery rate over neurons (Benjamini & Hochberg), for each variable by itself.

    Raises
    ------
    TypeError
        If X is a `RowStream`: sums over all shifts need its columns whole; if ``map`` is no such function.
    ValueError
        If the model is not cross-validated; if labels of rows, columns or neurons are not those of the fit, or the fit
        had sample weights or an offset that are not given, or lacked those given; if `trial` or `strata` has another
        length, a missing label, or a trial whose rows do not follow each other; if a method is asked for that the
        trials do not allow; if the recording has fewer than `n_shifts` trial-safe shifts; for unknown variables; and
        with ``refit=True`` if some row is never held out.

    Warns
    -----
    PopglmWarning
        Where a test does not hold its level or cannot reach it: too few trials, too few shifts, or activity and X that
        fluctuate as slowly as the recording is long, or both drift through it.

    Notes
    -----
    Surrogates are what the activity could have been without the effect. A p-value is the rank of the activity among
    them, ``(1 + number of surrogates at least as good) / (1 + n_shifts)`` (Phipson & Smyth 2010), so it holds its level
    whatever the statistic is, if only the surrogates are as likely as the activity was. No method is for all tasks:

    *Circular shifts* of the activity against X keep how both fluctuate in time. Every other surrogate is shifted and
    runs backwards: its autocorrelation is the same, and a short recording has twice as many that differ. They ask that
    one of the two be stationary, and that the recording be long beside the fluctuations of both. In a short one, shifts
    scatter as widely as its few fluctuations happen to say, not as widely as they would in another recording. With
    refits, a rank p is therefore taken as the tail of Student's distribution where it was that of the normal one,
    :math:`1 - T_\nu(\Phi^{-1}(1 - p))`, with the degrees of freedom :math:`\nu = 2 (\sum_k a_k)^2 / \sum_k a_k^2` of
    the power :math:`a_k` that activity and X share at frequencies k (Satterthwaite 1946). In 1,000 samples of white
    noise these are some 500, and p stays what it is; in 600 samples that fluctuate over 20 they are some 15, and a rank
    of .05 counts as .06. Below some 15 independent samples of their product p-values are still too small, and a warning
    says so. Shifts fail where trials have equal length and X holds time in trial: a shifted average over trials is as
    good as the average. They are the choice for variables that change within trials, and for variables that are
    constant within trials if these and activity change slowly over trials (blocks of a task).

    *Permutations of trials* exchange the activity of whole trials, within strata. They ask that trials could have
    come in another order, and are the choice for variables that are constant within trials, like cue or choice. If
    trials have different lengths, mean residuals of trials are exchanged, in units of their standard errors. In trials
    of one sample each everything is constant, and the sample is exchanged. If there
    are no more permutations than `n_shifts`, all are done, and the p-value is exact.

    *Time in trial*: a likelihood-ratio test on held-out rows. Its statistic is the gain in log-likelihood of held-out
    trials by the columns, in the quadratic approximation around the null model; and its null distribution is that of
    the same sum with the residuals of whole trials flipped in sign at random (Hemerik, Goeman & Finos 2020). It asks
    that trials be independent of each other given X, and nothing of what happens inside them: no particular variance,
    no independent samples. It is the choice where trials have equal length and X holds time in trial. Signs are those
    of runs of some √n trials, at least ten runs, for neighbours may depend on each other. Activity that goes on from
    trial to trial would be torn where signs change, and no surrogate would be as good as the average in which a trial
    ends as the next begins. So fluctuations slower than four trials, of which X says nothing, are taken out of the
    residuals first, for those neurons whose runs become more alike by that; `statistic` is then a fraction of the rest.

    *The local refit.* Held-out deviance is that of fits to the activity's training rows, so surrogates have to go
    through fits too: weights that were fitted to the activity do worse on any other. The quadratic approximation of
    the loss at the null model is least squares of the working responses (McCullagh & Nelder 1989), with the penalty,
    folds and strengths of the model; for Gaussian activity it is the model itself. All sums that do not depend on
    activity are computed once, and an activity costs one product with X for all folds and strengths. The activity
    goes through the same, and strengths (at most seven of the grid) are chosen for each surrogate as they are for it.
    `statistic` is the fall in square error on held-out rows against the mean of the training rows, as a fraction of
    the null model's; it is close to the deviance explained, and not equal. Surrogates of a neuron end once ten were at
    least as good, and its p-value is then ten over the number of surrogates (Besag & Clifford 1991).

    *Contributions.* The question is whether a variable adds to the others, and shifting the activity against all of X
    would tear it from these too. Shifted, exchanged or flipped is instead what the others leave over (Freedman & Lane
    1983): :math:`y_s(t) = \mu(t) + \sigma(t)\, e(t - s)` with :math:`e = (y - \mu) / \sigma`. Here μ is the held-out
    mean where the variable's columns are replaced by their linear regression on all other columns, for in a model
    without the variable these would take over what they can; and σ² is the neuron's mean squared residual among
    samples of alike μ, so that noise that grows with the rate stays where it was. The local refit is to what that
    regression leaves of the columns. So a contribution can be large and its p-value too: the model uses the variable,
    and could do without.

    *Neurons* that are fitted as the null model, or for which the null model was selected, have a p-value of 1. To
    test these too, `select` another strength. A fit within the model's ``tol`` of the null model stays there. In long
    recordings ``tol`` should be far below columns over samples, what chance alone explains, or p-values are too
    large.

    *Labels* of a classifier are themselves shifted against X, or exchanged by trials: "auto" takes trials where labels
    are constant within them. The local refit is that of their residuals :math:`e_y - p` around the null model, with
    the mean of the classes' covariances :math:`\mathrm{diag}(p) - p p^\top` for curvature, the penalty over all
    classes, folds and strengths; `statistic` is the gain in twice the log likelihood of held-out rows, as a fraction of
    the residuals' sum of squares in units of that covariance. Of a variable, what moves against what the other columns
    leave of its own are the residuals around held-out probabilities without what only it can say; the local refit is to
    these columns. With ``refit=True`` every surrogate is fitted by the classifier itself, `statistic` is its held-out
    deviance explained, and of a variable its columns move, less what others say of them (Smith's method in Winkler et
    al. 2014): a fit for each, so a hundred `n_shifts` may do. Degrees of freedom and warnings go by the commonest class
    of a response.

    *Curves* are tested in the same way: X is moved against the activity, whole or what other terms leave of a term's
    columns, and the `SmoothGLM` chooses its strengths anew for every surrogate. `statistic` is the deviance explained
    of the fitted samples themselves, by which chance does as well as it can.

    *refit=False* keeps the fitted weights. Every loss here is :math:`a(\eta) - y\,\theta(\eta)` plus a constant in η,
    so the deviance at all shifts is a circular cross-correlation. Two corrections stand for the fits. Folds share
    training rows, so the sum over folds has twice the variance that shifts with given weights show (Bengio &
    Grandvalet 2004); the null distribution is spread around its mean by √2. And where activity and X both outlast the
    gap between a held-out and a training trial, what they share by chance is learned in the one and found again in
    the other (Harris 2020); the null distribution is moved up by the gain that is expected of unrelated activity: for
    principal component k of X, with autocorrelations :math:`r_k, r_y` at lags up to two trials and the share d(h) of
    pairs of samples h apart that are in different folds,

    .. math:: \frac{\sum_k g_k \sum_{h \neq 0} d(h) r_k(h) r_y(h)}
              {\sqrt{2 (1 - 1/K) \sum_k g_k^2 [\sum_h (1 - d(h)) r_k(h) r_y(h)]^2}}

    standard deviations, which is mean over standard deviation of :math:`\sum_k g_k \sum x_k y\, x_k' y'`, primes for
    samples of another fold; :math:`g_k` is the component's variance (strong penalties) or 1 (none), whichever gives
    more. Both are of first order in the weights. In slow recordings these p-values are far too large: in the calcium
    of a worm they found 9 neurons where refits found 75.

    References
    ----------
    Harris (2020), Nonsense correlations in neuroscience, bioRxiv 2020.11.29.402719.
    Hemerik, Goeman & Finos (2020), Journal of the Royal Statistical Society B 82, 841-864.
    Freedman & Lane (1983), Journal of Business & Economic Statistics 1, 292-298.
    Besag & Clifford (1991), Biometrika 78, 301-304.
    Bengio & Grandvalet (2004), Journal of Machine Learning Research 5, 1089-1105.
    Winkler, Ridgway, Webster, Smith & Nichols (2014), NeuroImage 92, 381-397.
    Phipson & Smyth (2010), Statistical Applications in Genetics and Molecular Biology 9, 39.
    Satterthwaite (1946), Biometrics Bulletin 2, 110-114.
    McCullagh & Nelder (1989), Generalized Linear Models, 2nd edition, section 2.5.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((900, 2))
    >>> Y = rng.poisson(np.exp(np.outer(X[:, 0], [0.8, 0.0])))
    >>> trial = np.arange(900) // 10
    >>> model = pg.GLMCV(penalty="lasso", n_lambdas=5).fit(X, Y, groups=trial)
    >>> result = pg.significance(model, X, Y, ["feature0", "feature1"], trial=trial, n_shifts=200)
    >>> result.q_value.to_series() < 0.05
    neuron
    neuron0     True
    neuron1    False
    Name: q_value, dtype: bool
    >>> result.contribution_q_value.sel(neuron="neuron0").to_series() < 0.05
    variable
    feature0     True
    feature1    False
    Name: contribution_q_value, dtype: bool
    >>> result.attrs["method"], result.attrs["reason"]
    ('circular_shift', 'the model changes within trials and not alike in all of them')
    """
    check_count("significance", "n_shifts", n_shifts, 1, MOST_DRAWS)
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(
            f"significance: method={shown(method)} is unknown; use {', '.join(METHODS[:-1])} or {METHODS[-1]}."
        )
    if refit is not None:
        check_flag("significance", "refit", refit)
    # what moves labels or curves is by whatever method, and either refit
    by_any_method = isinstance(model, CategoricalGLM | SmoothGLM)
    if refit is not None and method not in ("auto", "circular_shift") and not by_any_method:
        raise ValueError(f"significance: method={shown(method)} has its own refit; leave refit=None.")
    if isinstance(model, GLMCV) and hasattr(model, "loss_") and not model.loss_.is_exponential:
        raise ValueError(
            f"significance: a {model.loss_.name} response is not a mean and a residual that could be exchanged, as "
            "surrogates ask; take compare, bootstrap or likelihood_ratio."
        )
    check_seed(seed, "significance")
    check_map("significance", map)
    if isinstance(model, CategoricalGLM | SmoothGLM):
        if refit is False:
            how = (
                "by the model itself"
                if isinstance(model, SmoothGLM)
                else "locally, or with refit=True by the model itself"
            )
            raise ValueError(f"significance: surrogates of a {type(model).__name__} are fitted {how}; leave refit out.")
        kind: Any = TestedCurves
        if isinstance(model, CategoricalGLM):
            kind = TestedClasses if refit else LocallyTestedClasses
            if not refit and getattr(model, "adaptive_factors_", None) is not None:
                raise ValueError(
                    "significance: local refits are penalised fits in one stage, and the model has AdaptiveFactors; "
                    "use refit=True, which goes through all its stages."
                )
        tested = kind.make(model, X, Y, trial, strata, sample_weight, offset)
        return _by_moved_columns(tested, method, variables, (n_shifts, seed), map)
    values = check_design_matrix(model, X, "significance", held_out=True, whole=True)
    check_refittable(model, "significance")
    data = TestedData.make(model, values, X, Y, trial, strata, sample_weight, offset)
    groups, sizes = model.feature_group_names_, model.feature_group_sizes_
    chosen = {} if variables is None else resolve_variables(variables, groups)
    columns = [group_columns(names, groups, sizes) for names in chosen.values()]
    size = len(model.neuron_names_) * (1 + len(chosen)) + data.trial.max() + 1  # of a surrogate's statistics and draw
    check_room(f"significance: n_shifts={n_shifts:,} surrogates", 8.0 * n_shifts * size)
    own = unique_columns(values[data.rows], columns)
    if refit is None:
        differs = "feature_mask" if model.feature_mask_ is not None else None
        if model.penalty_factors_ is not None and model.penalty_factors_.ndim == 2:
            differs = "penalty factor of each neuron's own"
        if not has_one_minimum(model):
            raise ValueError(
                f"significance: local refits are least squares under a convex penalty, and the model has "
                f"penalty={model.penalty!r}; use refit=True, which fits the model itself, or fit with 'lasso' or "
                "'group_lasso'."
            )
        if model.penalty_.bounds is not None:
            raise ValueError(
                "significance: local refits do not know of constraints, and would test another model; use refit=True, "
                "which fits the model itself."
            )
        if has_stages(model):
            raise ValueError(
                "significance: local refits are penalised fits in one stage, and the model has relaxed weights or "
                "AdaptiveFactors: they would test another model. Use refit=True, which goes through all its stages."
            )
        if differs is not None:
            raise ValueError(
                f"significance: local refits have the same columns and penalty for all neurons, and the model has a "
                f"{differs}; use refit=True, whose refits have that too."
            )
        return _by_local_refits(data, method, chosen, columns, own, (n_shifts, seed), map)
    return _by_shifts(data, refit, chosen, columns, own, (n_shifts, seed), map)


def _by_moved_columns(
    tested: MovedTest, method: str, variables: Variables, drawn: tuple[int, int], map: Callable[..., Iterable[Any]]
) -> xr.Dataset:
    """Surrogates of labels, or of what the columns of a variable alone say, each by fits or by local refits."""
    model, (n_shifts, seed) = tested.model, drawn
    chosen = {} if variables is None else resolve_variables(variables, model.feature_group_names_)
    found, methods = tested.run(method, chosen, drawn, map)
    share = tested.contributions(chosen) if chosen else np.zeros((tested.y.shape[1], 0))
    attrs = {
        "method": methods[0].name, "reason": methods[0].reason, "refit": tested.refit, "n_shifts": n_shifts,
        "seed": seed,
    }  # fmt: skip
    result = table_of_tests(model, list(chosen), share, *found, attrs, tested.explained())
    return _with_methods(result, methods) if chosen else result


def _with_methods(result: xr.Dataset, methods: list[Method]) -> xr.Dataset:
    """The table with the methods of variables, which come after that of the model."""
    return result.assign(
        contribution_method=("variable", [took.name for took in methods[1:]]),
        contribution_reason=("variable", [took.reason for took in methods[1:]]),
    )


def _by_local_refits(
    data: TestedData, method: str, chosen, columns, own, drawn: tuple[int, int], map: Callable[..., Iterable[Any]]
) -> xr.Dataset:
    """Surrogates as the method says, each by a local refit; ``drawn`` are their number and seed."""
    model, (n_shifts, seed) = data.model, drawn
    X, y = data.X[data.rows], data.y[data.rows]
    known = ~np.isnan(y)
    offset = data.taken(data.offset)
    predictor = Predictor.make(model, data.X, data.offset, held_out=True)
    parts = [(np.searchsorted(data.rows, rows), coef, intercept) for rows, coef, intercept in predictor.parts]
    predictor = Predictor(X, offset, parts)
    test = LocalTest(
        model, X, np.where(known, y, 0.0), known, data.taken(data.weight), offset, data.splits(), predictor
    )
    maker = SurrogateMaker(data, Layout(data.trial), n_shifts, seed)
    targets = [("the model", None, X), *((repr(name), c, u) for name, c, u in zip(chosen, columns, own, strict=True))]
    methods, freedom, drawings = [], [], []
    for what, mine, alone in targets:
        residuals = test.residuals(mine, None if mine is None else alone)
        took = maker.method(method, X if mine is None else X[:, mine], residuals, what)
        surrogates = maker.surrogates(took)
        scale = spread(X if mine is None else X[:, mine])
        maker.check(took, surrogates, alone, residuals, scale, what)
        freedom.append(degrees_of_freedom(alone, residuals, scale) if took.name == "circular_shift" else None)
        drawings.append(surrogates)
        methods.append(took)
    names, mine, alone = zip(*targets, strict=True)
    warn_of_unused_strata(data.strata, dict(zip(names, methods, strict=True)))
    found = [
        (statistic, draws, p if free is None else widened(p, free))
        for free, (statistic, draws, p) in zip(
            freedom, map(partial(_tested, test, data.empty), mine, alone, drawings), strict=True
        )
    ]
    null = np.full((max(len(run[1]) for run in found), len(y[0]), len(found)), np.nan)
    for k, run in enumerate(found):
        null[: len(run[1]), :, k] = run[1]
    share = np.zeros((y.shape[1], 0))
    if chosen:
        share = _contributions(data, chosen)
    attrs = {
        "method": methods[0].name, "reason": methods[0].reason, "refit": "local", "n_shifts": n_shifts, "seed": seed
    }  # fmt: skip
    statistic, p = (np.stack([run[i] for run in found], axis=1) for i in (0, 2))
    result = table_of_tests(model, list(chosen), share, statistic, null, p, attrs)
    return _with_methods(result, methods) if chosen else result


def _tested(test: LocalTest, skip: np.ndarray, mine, alone, surrogates) -> tuple[np.ndarray, ...]:
    """The test of some columns, or of all."""
    return test.of_all(surrogates, skip) if mine is None else test.of_columns(mine, alone, surrogates, skip)


def _by_shifts(
    data: TestedData, refit: bool, chosen, columns, own, drawn: tuple[int, int], map: Callable[..., Iterable[Any]]
) -> xr.Dataset:
    """Circular shifts with the fitted weights, or by fits of the model itself; ``drawn`` are their number and seed."""
    model, rows, (n_shifts, seed) = data.model, data.rows, drawn
    if refit and len(rows) < len(data.y):
        raise ValueError(f"significance: {len(data.y) - len(rows)} rows are never held out; refit=True needs them all.")
    shifts = Method("circular_shift", f"refit={refit} was asked for")
    warn_of_unused_strata(data.strata, dict.fromkeys(["the model", *map(repr, chosen)], shifts))
    offsets = draw_offsets(len(rows), data.longest, n_shifts, data.y.shape[1], seed)
    scale = 1.0 if data.weight is None else data.weight[rows, None]
    y = data.y[rows]
    known = ~np.isnan(y)
    test = ShiftTest(
        model, data.X, data.offset, rows, np.where(known, y, 0.0), known * scale, offsets, data.longest, _rule(model)
    )
    if refit:
        share = _contributions(data, chosen) if chosen else np.zeros((y.shape[1], 0))
        explained = model.cv_deviance_explained_
        found = full_refits(test, data.given, data.y, data.weight, chosen, columns, own, map)
        explained_null, share_null, residuals = found
    else:
        explained, share, explained_null, share_null = test.scores(columns, own)
    statistic, null = (
        np.column_stack([explained, share]),
        np.concatenate([explained_null[..., None], share_null], axis=-1),
    )
    p = (1 + (null >= statistic - TIE).sum(axis=0)) / (1 + n_shifts)
    if refit:
        scale = spread(data.X[rows])
        parts = zip([data.X[rows], *own], residuals, [scale, *(scale[c] for c in columns)], strict=True)
        p = widened(p, np.stack([degrees_of_freedom(*part) for part in parts], axis=1))
    p[data.null] = 1
    attrs = {
        "method": shifts.name, "reason": shifts.reason, "refit": "full" if refit else "none", "n_shifts": n_shifts,
        "seed": seed,
    }  # fmt: skip
    return table_of_tests(model, list(chosen), share, statistic, null, p, attrs)


def _contributions(data: TestedData, chosen: dict) -> np.ndarray:
    """Fractions of null deviance, (n_neurons, n_variables)."""
    given = data.given, data.y, data.weight, data.offset
    return shares_of_null_deviance(data.model, given, chosen, "significance")


def _rule(model: GLMCV) -> tuple[float, float] | None:
    """``se_fraction`` and ``min_lambda`` by which the strengths were selected; None if it was by neither."""
    rule = model.selection_rule_
    index = select_strengths(model.cv_deviance_, model.lambda_path_, *rule)
    # shifts are scored by the best strength; neurons at their null model are at none
    at_strength = np.isfinite(model.lambda_)
    return rule if np.array_equal(index[at_strength], model.lambda_index_[at_strength]) else None
