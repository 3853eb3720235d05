"""`GLM`: a path of fits to given data."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.checks import check_fitted
from popglm.estimators.arguments import check_rule
from popglm.estimators.base import PopulationGLM
from popglm.estimators.features import check_features
from popglm.estimators.grid_ends import warn_of_ends
from popglm.estimators.validation import check_offset
from popglm.labels import Rows, row_labels
from popglm.statistics.selection import at_strengths, fraction_explained, select_strengths

__all__ = ["GLM"]


class GLM(PopulationGLM):
    """Generalized linear models of many neurons over a path of regularisation strengths.

    Each neuron is its own problem: minimise over b, w the weighted mean of ℓ(y, b + Xw + offset) plus
    λP(w) + (σ/2)wᵀRw. Losses and penalties have the scale of glmnet (Friedman, Hastie & Tibshirani 2010), so a
    strength means the same here.

    Parameters
    ----------
    family : {"poisson", "gaussian", "bernoulli", "binomial", "gamma", "inverse_gaussian", "negative_binomial", \
"tweedie", "censored_gaussian"}
        Distribution of the activity: counts or deconvolved calcium; any real number; events in [0, 1]; shares of
        successes among trials, whose numbers are ``sample_weight`` of `fit`; positive numbers whose standard deviation
        is a share of their mean; positive numbers whose variance is the cube of their mean; counts of mean μ and
        variance μ + αμ² with a dispersion α per neuron, which every fit estimates at every strength; amounts that are
        exactly 0 in some samples; activity of at least 0 that is Gaussian with a standard deviation σ per neuron, and 0
        wherever it would be below (the tobit model): the linear predictor is its mean before it is censored, and
        predictions are the mean afterwards.
    inverse_link : {"identity", "exp", "sigmoid", "softplus", "relu"}, optional
        Mean as a function of the linear predictor. Unless given: identity for Gaussian and censored Gaussian, sigmoid
        for Bernoulli and binomial, exp for all others.
    penalty : {"ridge", "none", "lasso", "elastic_net", "group_lasso", "sparse_group_lasso", "mcp", "scad", \
"group_mcp", "group_scad"}
        ½‖w‖²; nothing; ‖w‖₁; α‖w‖₁ + (1−α)/2‖w‖²; Σ_g √p_g ‖w_g‖₂; α‖w‖₁ + (1−α) Σ_g √p_g ‖w_g‖₂, which chooses groups
        and columns within them; and concave ones of columns or of groups, which choose as the lasso and the group
        lasso do, and leave large weights unpenalised: see `concavity`.
    l1_ratio : float, optional
        α of the elastic net and of the sparse group lasso (0.5 unless given), or the share of the norm term in a group
        lasso with a ridge part.
    smoothness : float
        σ of the penalty ½σwᵀRw on squared differences of neighbouring weights within feature groups, with 0 beyond the
        ends of a line, summed over the axes that `feature_shapes` tells. R is 2 on its diagonal and −1 beside it.
    feature_groups : sequence, optional
        Sizes of consecutive groups, or a label per column; None reads the first level of X's columns. A 1 per column
        would be both, and is refused: say ``[n_features]`` for one group, or give names as labels.
    feature_shapes : mapping or list, optional
        Which columns of a group ``smoothness`` takes for neighbours: ``{"place": (12, 10)}`` for a group of 12 × 10
        columns, the first axis slowest. An axis is a number of columns, or a pair: ``("circle", 8)`` where the last
        column is the first one's neighbour, ``("levels", 2)`` where there are none, as among categories. By the names
        of groups, or one for each group in order. None takes what `Design` noted on the DataFrame X; groups of which
        nothing is known are lines.
    feature_mask : array-like of bool, shape (n_features, n_neurons) or (n_groups, n_neurons), optional
        Which columns, or feature groups, may explain each neuron: the others have a weight of exactly 0, as if X had
        no such columns. A DataFrame is matched by the names of its rows (groups or columns of X) and neurons. Neurons
        with the same features are fitted together, so that few kinds of neurons cost nothing. Inside a group,
        ``smoothness`` takes a column that is left out for a neighbour of weight 0.
    penalty_factors : mapping or array-like, shape (n_groups,) or (n_groups, n_neurons), optional
        What λ is multiplied by for each feature group, ≥ 0: by the names of groups, where a group without a factor has
        1, or one for each group in order. A group with twice the factor is penalised twice as much. Factors are taken
        as they are: glmnet scales its ``penalty.factor`` to a mean of 1. ``smoothness`` has none. A group with 0, for
        all neurons or none, is never penalised, and belongs to the null model with the intercept; such fits run on the
        host. With a column per neuron, each has factors of its own; a DataFrame is matched by the names of groups and
        neurons. Neurons with the same factors are fitted together, one set after the other.
    lambdas : array-like, shape (n_lambdas,) or (n_lambdas, n_neurons), optional
        Strengths, which must descend: ``np.sort(lambdas)[::-1]``. A grid below each neuron's λ_max unless given. That
        is the smallest strength with all penalised weights 0 for a norm; for a ridge, ten times the largest curvature
        of the loss at the null model. It follows the unit of the activity by itself. Three things do not, and select
        another model in another unit: a norm and a ridge together (an elastic net) on Gaussian activity,
        ``smoothness``, which is one number for all strengths, and softplus.
    n_lambdas : int
        Length of that grid, at most 1,000.
    lambda_min_ratio : float
        Its last strength as a share of λ_max.
    fit_intercept : bool
    tol : float
        Certified excess objective at which a neuron is done, in units of its null deviance.
    max_iter : int
        Loss and gradient evaluations per strength.
    solver : {"auto", "quasi-newton", "adam", "sgd"} or FirstOrder
    engine : {"auto", "numpy", "torch", "tensorflow", "jax"}
        The array library that works on arrays over samples. "auto": that of the tensors given to `fit`, else the one
        named by the environment variable ``POPGLM_ENGINE``, else NumPy.
    device : str or list of str, optional
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``, …; that of the tensors given, else the library's own choice. The
        neurons are shared out over the devices of a list.
    schedule : {"auto", "host", "device"}
        Where weights lie and steps are taken while a fit runs: in NumPy on the host, or in the engine's library on the
        device, where one call serves all neurons. "auto" takes the device if it is an accelerator, or several; "host"
        uses the first of several. Both reach the same minima within the certificate. Gaussian fits of complete
        recordings need sums over samples alone and always run on the host, and so do first-order solvers and streams.
    precision : {"float32", "tf32", "float64"}
        Of arrays over samples. "tf32" is float32 with products rounded to TF32 on the way to the certificate, which
        stays in float32, where the device has that; elsewhere it is "float32".
    verbose : int
        0: in a terminal, a progress bar with the time left after ten seconds, and a line when kernels are compiled;
        1: the bar at once; 2: the bar everywhere. Elsewhere than in a terminal 0 and 1 show nothing.
    concavity : float, optional
        γ of MCP (3 unless given, above 1) and SCAD (3.7 unless given, above 2): how soon the penalty of a column or
        group levels off. Beyond a norm of γλ/h, times √p_g for a group, it is flat, with h the mean curvature of the
        loss at the neuron's intercept alone, without groups that are never penalised: 1 for a Gaussian, the mean rate
        for Poisson counts. An infinite γ would be the lasso. For columns of unit variance. See the Notes.
    constraints : mapping, optional
        By the names of feature groups, what the weights of their columns must be: "positive" or "negative", or 0; or
        within a pair (lower, upper), in the units of `coef_` and with 0 between them. None or inf is no bound. Lists
        have one for each column of the group, all lower ones first: ([l1, l2], [u1, u2]). Under all penalties but MCP
        and SCAD, and without ``smoothness``. `SmoothGLM` has curves that rise or fall.
    power : float, optional
        p of Tweedie activity, whose variance is μ^p: between 1 and 2, 1.5 unless given. No other family has a choice.

    Attributes
    ----------
    coef_ : ndarray, shape (n_neurons, n_features), or (n_features,) for a 1-D response
        At the strength in `lambda_`: the smallest until `select` is called.
    intercept_ : ndarray, shape (n_neurons,), or float
    lambda_, lambda_index_ : ndarray, shape (n_neurons,)
        Infinite, and the number of strengths, where the null model was selected.
    null_intercept_ : ndarray, shape (n_neurons,)
        Of the null model: what is fitted without any penalised weight.
    null_coef_ : ndarray, shape (n_neurons, n_features), or None
        Weights of the null model, which has the groups whose penalty factor is 0; None without such groups.
    family_parameters_ : dict of str to ndarray, shape (n_neurons,)
        Parameters of the family at the strengths in `lambda_`: "alpha", the dispersion of negative binomial counts, 0
        for a neuron whose counts vary no more than those of Poisson; "sigma", the standard deviation of censored
        Gaussian activity. Empty for families without.
    family_parameters_path_ : dict of str to ndarray, shape (n_lambdas, n_neurons)
        Those of all strengths.
    null_family_parameters_ : dict of str to ndarray, shape (n_neurons,)
        Those of the null model.
    deviance_parameters_ : dict of str to ndarray, shape (n_neurons,)
        Those at which all deviances are taken, so that they compare: of the model with an intercept alone.
    n_events_ : ndarray of int, shape (n_neurons,)
        Samples of positive weight with activity; all recorded ones for the Gaussian family; successes of trials.
    null_margin_ : ndarray, shape (n_neurons,)
        Deviance of held-out or validation data by which a model must beat the null model to be selected.
    lambdas_ : ndarray, shape (n_lambdas,), or (n_lambdas, n_neurons) for own grids
    lambda_path_ : ndarray, shape (n_lambdas, n_neurons)
        The same with a column for every neuron, also where all neurons share a grid.
    coef_path_ : ndarray, shape (n_lambdas, n_neurons, n_features)
    intercept_path_ : ndarray, shape (n_lambdas, n_neurons)
    gap_ : ndarray, shape (n_lambdas, n_neurons)
        Certificate: how far the objective can be above its minimum, in units of half the mean null deviance; the
        smaller of a duality gap and an estimate from the decrease that the local model still promises. Under a concave
        penalty that of its tangent at the weights: see the Notes.
    n_iter_ : ndarray of int, shape (n_lambdas, n_neurons)
    loss_path_ : ndarray, shape (n_lambdas, n_neurons)
        Penalised objective.
    feature_names_in_ : ndarray of object, shape (n_features,)
        Names of X's columns, pairs of group and feature for those of `Design`; only where they have names.
    neuron_names_ : list of str
    neurons_are_named_ : bool
        Whether the names are those of Y's columns; others only count the neurons.
    sample_labels_ : pandas.Index or None
        Labels of the samples, from the first argument of `fit` that had some.
    feature_group_names_ : list of str
    feature_group_sizes_ : ndarray of int, shape (n_groups,)
        Names of the feature groups, and how many columns each has.
    feature_shapes_ : list of Shape, or None
        ``feature_shapes`` as the fit took them; None where all groups are lines, or nothing asked for neighbours.
    feature_scaling_ : ndarray, shape (2, n_features), or None
        Means and scales that a `Design` z-scored X's columns by; None for an X of another origin.
    feature_mask_ : ndarray of bool, shape (n_features, n_neurons), or None
        ``feature_mask`` for every column, in the order of the neurons.
    penalty_factors_ : ndarray, shape (n_groups,) or (n_groups, n_neurons), or None
        ``penalty_factors`` in the order of the groups and neurons.
    loss_, penalty_ : object
        The family under its inverse link and the penalty, as the solver had them: ``loss_.link.mean(numpy, eta)``,
        ``loss_.deviance(eta, y)``, ``penalty_.value(W, lam)`` with a row of ``W`` per neuron. A family with parameters
        is ``loss_.given(*family_parameters_.values())``, on which the mean of censored Gaussian activity depends too.
        Where neurons have penalty factors of their own, ``penalty_`` has none but those of 0. A concave penalty knows
        no neurons: it is ``penalty_.at_null(h)`` with their curvatures h (n_neurons,), see `concavity`.
    fitted_with_offset_ : bool
        Whether `fit` had an offset other than 0; predictions then need one.
    fitted_with_sample_weight_ : bool
        Whether `fit` had sample weights that are not all alike; what fits its rows again then needs them.
    null_fitted_ : ndarray of bool, shape (n_neurons,)
        Neurons with nothing to fit (silent, constant, one event): weights 0.
    trace_ : DataFrame
        Columns "strength" (index into ``lambdas_``) and "objective" (mean over the fitted neurons): one row where the
        fit to all rows begins a strength, and one after every iteration.
    timings_ : dict of float
        Seconds by phase.

    Notes
    -----
    MCP and SCAD have the slope of the lasso at a weight of 0 and none far from it. With s = ht/λ for the size t of a
    weight, or of the norm of a group over √p_g, the slope is λ times (1 − s/γ)₊ for MCP, and λ times
    min{1, (γ − s)₊/(γ − 1)} for SCAD.

    Factors of groups multiply λ there, too. Such an objective may have several minima. A fit goes down its strengths
    from the strongest, each begun where the last one ended, as in ncvreg, grpreg and skglm; so another grid may end at
    another minimum, and a single strength begins at weights of 0. Every step has the penalty's tangent at the weights
    where it begins, a lasso or group lasso with strengths of its own (local linear approximation). `gap_` says how far
    the tangent problem at the weights returned can still be above its minimum; at 0 the weights are stationary. Weights
    that have left the penalty behind are unpenalised: where a neuron is silent in a place, that of its column grows
    until the loss is flat. These fits run on the host, and have no first-order solver.

    References
    ----------
    Fan & Li (2001), *Journal of the American Statistical Association* 96: SCAD. Zhang (2010), *Annals of Statistics*
    38: MCP. Zou & Li (2008), *Annals of Statistics* 36: local linear approximation. Breheny & Huang (2011), *Annals of
    Applied Statistics* 5: γ in units of the curvature; (2015), *Statistics and Computing* 25: groups.

    Examples
    --------
    >>> import numpy as np
    >>> from popglm import GLM
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((500, 3))
    >>> Y = rng.poisson(np.exp(X @ [[0.5, 0.0], [0.0, -0.4], [0.0, 0.0]]))
    >>> model = GLM(penalty="lasso", lambdas=[0.1, 0.02]).fit(X, Y)
    >>> model.coef_.round(1) + 0
    array([[ 0.5,  0. ,  0. ],
           [ 0. , -0.4,  0. ]], dtype=float32)

    Counts whose rate has a variance of 2μ² by itself:

    >>> wild = rng.poisson(np.exp(X[:, :1]) * rng.gamma(1 / 2, 2, (500, 1)))
    >>> GLM("negative_binomial", penalty="none").fit(X, wild).family_parameters_["alpha"].round()
    array([2.])

    Activity that is 0 wherever it would be negative:

    >>> censored = np.maximum(X[:, :1] - 0.5 + 0.5 * rng.standard_normal((500, 1)), 0)
    >>> tobit = GLM("censored_gaussian", penalty="none").fit(X, censored)
    >>> tobit.coef_.round(1) + 0, tobit.family_parameters_["sigma"].round(1)
    (array([[1., 0., 0.]], dtype=float32), array([0.5]))
    """

    def __init__(
        self,
        family: str = "poisson",
        inverse_link: str | None = None,
        penalty: str = "ridge",
        l1_ratio: float | None = None,
        smoothness: float = 0.0,
        feature_groups: Any = None,
        feature_mask: Any = None,
        penalty_factors: Any = None,
        lambdas: Any = None,
        n_lambdas: int = 20,
        lambda_min_ratio: float = 1e-4,
        fit_intercept: bool = True,
        tol: float = 1e-4,
        max_iter: int = 200,
        solver: Any = "auto",
        engine: str = "auto",
        device: str | list[str] | None = None,
        schedule: str = "auto",
        precision: str = "float32",
        verbose: int = 0,
        power: float | None = None,
        feature_shapes: Any = None,
        concavity: float | None = None,
        constraints: Any = None,
    ) -> None:
        self.family = family
        self.inverse_link = inverse_link
        self.penalty = penalty
        self.l1_ratio = l1_ratio
        self.smoothness = smoothness
        self.feature_groups = feature_groups
        self.feature_mask = feature_mask
        self.penalty_factors = penalty_factors
        self.lambdas = lambdas
        self.n_lambdas = n_lambdas
        self.lambda_min_ratio = lambda_min_ratio
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.solver = solver
        self.engine = engine
        self.device = device
        self.schedule = schedule
        self.precision = precision
        self.verbose = verbose
        self.power = power
        self.feature_shapes = feature_shapes
        self.concavity = concavity
        self.constraints = constraints

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        offset: Any = None,
        start: Any = None,
        checkpoint: Any = None,
    ) -> GLM:
        """Fit all neurons over all strengths.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix, shape (n_samples, n_features)
        y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
            Y, the activity. NaN where a neuron was not recorded: the sample drops out for that neuron alone.
        sample_weight : array-like, shape (n_samples,) or (n_samples, n_neurons), optional
            How much a sample counts, ≥ 0, for all neurons or for each: a weight of 2 counts as two samples. For
            binomial activity, the number of trials.
        offset : array-like, shape (n_samples,), optional
            What is added to the linear predictor.
        start : GLM, GLMCV or array-like, optional
            Where to begin: a fitted model, whose `coef_path_` is taken, or coefficients of shape (n_lambdas, n_neurons,
            n_features), or those of a single strength for all of them, as `coef_` has them. A start near the minimum
            saves steps, and changes the result within `tol` alone. A model must have as many strengths and the same
            features, and every neuron of the fit; those with names are matched by name. First-order solvers, and
            Gaussian fits that need no steps, make no use of it.
        checkpoint : path-like, optional
            A folder that keeps the fit while it goes on: empty, or not there yet. After a crash, ``kill -9`` or Ctrl-C
            the same call goes on from there, and ends with the same bits as one that was not interrupted, on a machine
            of the same kind. Once the fit has ended, the same call returns what it ended with. A folder that keeps the
            fit of another input is refused, with what differs. X and all other arrays are hashed for this, a stream in
            one more pass over its rows. Writing takes at most about 2 % of the time, and a disk that is full meanwhile
            ends in a warning, not the fit.

        Returns
        -------
        GLM

        Raises
        ------
        ValueError
            For input that cannot be fitted; the sentence names the argument and the place. For a ``checkpoint`` of
            another fit, or a folder that holds something else.
        OSError
            If the folder of ``checkpoint`` cannot be written to, or another process keeps a fit there.
        KeyboardInterrupt
            After Ctrl-C, which ends a fit with a ``checkpoint`` where its state is whole; a second one ends it at once.

        Warns
        -----
        PopglmWarning
            Names neurons that are fitted as the null model.
        ConvergenceWarning
            Names neurons that did not reach `tol`, with their certificates.
        """
        fit, _ = self._fit(X, y, lambda n, rows, responses: [], sample_weight, offset, True, start, checkpoint)
        self._keep(np.full(len(self.neuron_names_), len(self.lambda_path_) - 1))
        self._warn_of_late_fits(fit, refit=True)
        return self

    def select(self, X: Any, Y: Any, *, min_lambda: float = 0.0, sample_weight: Any = None, offset: Any = None) -> GLM:
        """Take, per neuron, the strength that explains most deviance of validation data.

        The null model, the best one of the training data without weights, is a candidate too. A neuron with fewer than
        ten events must beat it by more than chance, as in `GLMCV`; else its weights are 0 and its `lambda_` infinite.

        Parameters
        ----------
        X, Y : array-like
            Validation data, as in `fit`.
        min_lambda : float
            No smaller strength is chosen; where all are smaller, the largest or the null model, with a warning.
        sample_weight, offset : array-like, optional
            As in `fit`, of these samples.

        Returns
        -------
        GLM
            Itself, with new `coef_`, `intercept_`, `lambda_`, `lambda_index_` and ``deviance_explained_path_``
            (n_lambdas, n_neurons) of the validation data.

        Raises
        ------
        TypeError, ValueError
            If X has other columns, Y other neurons than in `fit`, or the rows of the arguments other labels; if the
            model was fitted with an offset and none is given.
        """
        check_fitted(self, "lambda_index_", "select")
        check_rule(0.0, min_lambda)
        values = check_features(self, X, reset=False)
        rows = Rows(row_labels(X))
        shift = check_offset(self, offset, len(values), rows, "select")
        weights = [*zip(self.coef_path_, self.intercept_path_, strict=True)]
        bare = np.zeros_like(self.coef_path_[0]) if self.null_coef_ is None else self.null_coef_
        weights.append((bare, self.null_intercept_))
        etas = (self._predictor(values, w, b, shift) for w, b in weights)
        deviance, null = self._deviances(etas, Y, sample_weight, rows)
        self.deviance_explained_path_ = fraction_explained(deviance[:-1], null)
        nulls = deviance[None, -1]
        self._keep(select_strengths(deviance[None, :-1], self.lambda_path_, 0.0, min_lambda, nulls, self.null_margin_))
        self._warn_of_floor(min_lambda)
        chosen = at_strengths(self.deviance_explained_path_, self.lambda_index_, 0.0)
        warn_of_ends(self, chosen, self.coef_path_[:1])
        return self
