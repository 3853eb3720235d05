"""Solve the problems of `problems.py` with other people's libraries and freeze what they found.

Run in an environment of its own (adelie wants numpy < 2)::

    python3 -m venv reference && reference/bin/pip install "numpy<2" \\
        adelie==1.1.52 glum==3.4.1 skglm==0.5 statsmodels==0.15.0 scikit-learn==1.9.1
    OMP_NUM_THREADS=1 reference/bin/python tests/reference/make.py

It writes `simulated.npz` (once; an existing file is kept) and `solutions.json`. Every library that has a
family × penalty solves it at tight tolerances; their coefficients are put into one float64 objective
(`problems.objective`), must agree on it to 1e-7 relative, and the lowest is frozen together with every
library's excess over it and the versions used. The frozen solution itself must be stationary: one Newton
step on its support would lower the objective by less than 1e-10 relative and move no coefficient by more
than 1e-6, and nothing that is zero wants to leave zero. Takes about two minutes.

Scales: all solve (1/n) Σℓ + λ[(1−α)/2 ‖w‖² + α Σ_g √p_g ‖w_g‖]. adelie multiplies its group factors into the
ridge part too, so ridge and elastic net run with factors 1. scikit-learn's Ridge sums (λ → nλ) and its
logistic regression scales the loss (C = 1/nλ).
"""

import json
import logging
import warnings
from importlib.metadata import version

import adelie
import glum
import numpy as np
import statsmodels.api as sm
from problems import HERE, L1_RATIO, PENALTIES, PROBLEMS, SHARED, Problem, objective
from scipy.special import expit
from skglm import datafits, penalties, solvers
from skglm.utils.jit_compilation import compiled_clone
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
)

LIBRARIES = ("adelie", "glum", "skglm", "statsmodels", "scikit-learn")
FRACTIONS = (0.5, 0.1, 0.01)  # of the strength at which the lasso's last weight vanishes
L1_PART = {"lasso": 1.0, "elastic_net": L1_RATIO, "ridge": 0.0, "none": 0.0}


def simulate() -> dict[str, np.ndarray]:
    """Arrays of the simulated problems: correlated columns, sparse groups, two neurons per family."""
    rng = np.random.default_rng(20)
    n, q, sizes = 300, 2, np.array([5, 4, 3, 1, 1])
    p = sizes.sum()

    def f32(a: np.ndarray) -> np.ndarray:
        return a.astype(np.float32).astype(float)

    X = f32(rng.normal(size=(n, p)) @ (np.eye(p) + 0.25 * rng.normal(size=(p, p))))
    on = np.repeat(np.array([[1, 0, 1, 0, 1], [0, 1, 1, 1, 0]]), sizes, axis=1).T
    W = 0.3 * on * rng.normal(size=(p, q))
    eta = X @ W + np.array([0.2, -0.5])
    return {
        "X": X,
        "sizes": sizes,
        "sample_weight": f32(rng.uniform(0.3, 2, n)),
        "offset": f32(0.4 * rng.normal(size=n)),
        "Y_gaussian_identity": f32(eta + rng.normal(size=(n, q))),
        "Y_poisson_exp": rng.poisson(np.exp(eta)).astype(float),
        "Y_bernoulli_sigmoid": rng.binomial(1, expit(eta)).astype(float),
        "Y_poisson_softplus": rng.poisson(np.logaddexp(0, 2 * eta)).astype(float),
        "Y_poisson_identity": rng.poisson(1 + np.abs(X) @ np.abs(W)).astype(float),
    }


class Softplus(glum._link.Link):
    """μ = log(1 + e^η) for glum."""

    def link(self, mu):
        return mu + np.log(-np.expm1(-mu))

    def derivative(self, mu):
        return 1 / -np.expm1(-mu)

    def inverse(self, lin_pred):
        return np.logaddexp(0, lin_pred)

    def inverse_derivative(self, lin_pred):
        return expit(lin_pred)

    def inverse_derivative2(self, lin_pred):
        return expit(lin_pred) * expit(-lin_pred)


class SoftplusStatsmodels(sm.families.links.Link):
    """μ = log(1 + e^η) for statsmodels."""

    def __call__(self, p):
        return p + np.log(-np.expm1(-p))

    def inverse(self, z):
        return np.logaddexp(0, z)

    def deriv(self, p):
        return 1 / -np.expm1(-p)

    def deriv2(self, p):
        return -np.exp(-p) / np.expm1(-p) ** 2


def by_sklearn(problem: Problem, y: np.ndarray, penalty: str, strength: float):
    X, s = problem.X, problem.s * len(problem.X)
    offset = problem.shift if problem.family == "gaussian" else 0
    match problem.family, problem.inverse_link, penalty:
        case "gaussian", _, "none":
            model = LinearRegression()
        case "gaussian", _, "ridge":
            model = Ridge(alpha=strength * len(X))
        case "gaussian", _, "lasso":
            model = Lasso(alpha=strength, tol=1e-14, max_iter=10**5)
        case "gaussian", _, "elastic_net":
            model = ElasticNet(alpha=strength, l1_ratio=L1_RATIO, tol=1e-14, max_iter=10**5)
        case "poisson", "exp", "none" | "ridge" if problem.offset is None:
            model = PoissonRegressor(alpha=strength, solver="newton-cholesky", tol=1e-12, max_iter=1000)
        case "bernoulli", "sigmoid", "none" | "ridge" if problem.offset is None:
            C = 1 / (len(X) * strength) if strength else np.inf
            model = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=1000)
        case _:
            return None
    model.fit(X, y - offset, sample_weight=s)
    return float(np.ravel(model.intercept_)[0]), model.coef_.ravel()


def by_statsmodels(problem: Problem, y: np.ndarray, penalty: str, strength: float):
    if penalty != "none":
        return None
    link = {
        "identity": sm.families.links.Identity,
        "exp": sm.families.links.Log,
        "sigmoid": sm.families.links.Logit,
        "softplus": SoftplusStatsmodels,
    }[problem.inverse_link]()
    family = {"gaussian": "Gaussian", "poisson": "Poisson", "bernoulli": "Binomial"}[problem.family]
    model = sm.GLM(
        y,
        sm.add_constant(problem.X),
        family=getattr(sm.families, family)(link, check_link=False),
        offset=problem.offset,
        var_weights=problem.s * len(y),
    )
    b, *w = model.fit(tol=1e-13, tol_criterion="params", maxiter=300).params
    return b, np.array(w)


def by_glum(problem: Problem, y: np.ndarray, penalty: str, strength: float):
    if penalty == "group_lasso":
        return None
    link = {"identity": "identity", "exp": "log", "sigmoid": "logit", "softplus": Softplus()}
    model = glum.GeneralizedLinearRegressor(
        alpha=strength,
        l1_ratio=L1_PART[penalty],
        family="binomial" if problem.family == "bernoulli" else problem.family,
        link=link[problem.inverse_link],
        scale_predictors=False,
        gradient_tol=1e-11,
        max_iter=3000,
    )
    model.fit(problem.X, y, sample_weight=problem.s, offset=problem.offset)
    return model.intercept_, model.coef_


def by_adelie(problem: Problem, y: np.ndarray, penalty: str, strength: float):
    glm = {
        ("gaussian", "identity"): adelie.glm.gaussian,
        ("poisson", "exp"): adelie.glm.poisson,
        ("bernoulli", "sigmoid"): adelie.glm.binomial,
    }.get((problem.family, problem.inverse_link))
    if glm is None or penalty == "none":
        return None
    starts = np.cumsum((0, *problem.sizes[:-1]))
    grouped = {} if penalty == "group_lasso" else {"penalty": np.ones(problem.X.shape[1])}
    state = adelie.grpnet(
        X=np.asfortranarray(problem.X),
        glm=glm(y=y, weights=problem.s),
        groups=starts if penalty == "group_lasso" else None,
        alpha=L1_PART.get(penalty, 1.0),
        offsets=problem.shift,
        lmda_path=strength * np.geomspace(100, 1, 9),
        irls_tol=1e-15,
        tol=1e-15,
        newton_tol=1e-14,
        max_iters=20_000,
        early_exit=False,
        progress_bar=False,
        **grouped,
    )
    return state.intercepts[-1], state.betas[-1].toarray().ravel()


def by_skglm(problem: Problem, y: np.ndarray, penalty: str, strength: float):
    pair = (problem.family, problem.inverse_link)
    kinds = {
        ("gaussian", "identity"): "Quadratic",
        ("poisson", "exp"): "Poisson",
        ("bernoulli", "sigmoid"): "Logistic",
    }
    if pair not in kinds or problem.sample_weight is not None or penalty in ("none", "ridge"):
        return None
    grouped = penalty == "group_lasso"
    tight = {"tol": 1e-12, "fit_intercept": True, "max_iter": 2000}
    if grouped:
        pointer = np.cumsum((0, *problem.sizes)).astype(np.int32)
        layout = pointer, np.arange(problem.X.shape[1], dtype=np.int32)
        datafit = getattr(datafits, kinds[pair] + "Group")(*layout)
        norm = penalties.WeightedGroupL2(strength, np.sqrt(np.array(problem.sizes, float)), *layout)
        solver = (solvers.GroupBCD if pair[0] == "gaussian" else solvers.GroupProxNewton)(**tight)
    else:
        datafit = getattr(datafits, kinds[pair])()
        norm = penalties.L1(strength) if penalty == "lasso" else penalties.L1_plus_L2(strength, L1_RATIO)
        solver = (solvers.AndersonCD if pair[0] == "gaussian" else solvers.ProxNewton)(**tight)
    target = 2 * y - 1 if pair[0] == "bernoulli" else y
    w = solver.solve(np.asfortranarray(problem.X), target, compiled_clone(datafit), compiled_clone(norm))[0]
    return w[-1], w[:-1]


SOLVERS = dict(zip(LIBRARIES, (by_adelie, by_glum, by_skglm, by_statsmodels, by_sklearn), strict=True))


def newton_step(problem: Problem, j: int, penalty: str, strength: float, b: float, w: np.ndarray):
    """Predicted decrease and step of one Newton step from (b, w) on the support of w."""
    y, eta = problem.Y[:, j], b + problem.X @ w + problem.shift
    match problem.family, problem.inverse_link:
        case "gaussian", _:
            slope, curvature = eta - y, np.ones(len(y))
        case "poisson", "exp":
            slope, curvature = np.exp(eta) - y, np.exp(eta)
        case "bernoulli", _:
            slope, curvature = expit(eta) - y, expit(eta) * expit(-eta)
        case "poisson", "identity":
            slope, curvature = 1 - y / eta, y / eta**2
        case _:
            mu, h = np.logaddexp(0, eta), expit(eta)
            slope = h * (1 - y / mu)
            curvature = h * expit(-eta) * (1 - y / mu) + h**2 * y / mu**2
    A = np.c_[np.ones(len(y)), problem.X]
    gradient, H = A.T @ (problem.s * slope), A.T @ ((problem.s * curvature)[:, None] * A)
    on = np.r_[True, np.full(len(w), penalty in ("none", "ridge"))]
    if penalty == "group_lasso":
        for start, size in zip(np.cumsum((0, *problem.sizes[:-1])), problem.sizes, strict=True):
            block, norm = slice(1 + start, 1 + start + size), np.linalg.norm(w[start : start + size])
            if norm:
                unit = w[start : start + size] / norm
                gradient[block] += strength * np.sqrt(size) * unit
                H[block, block] += strength * np.sqrt(size) / norm * (np.eye(size) - np.outer(unit, unit))
                on[block] = True
            elif np.linalg.norm(gradient[block]) > strength * np.sqrt(size) * (1 + 1e-9):
                raise AssertionError("a group at zero wants to leave it")
    else:
        l1 = L1_PART[penalty]
        gradient[1:] += strength * (l1 * np.sign(w) + (1 - l1) * w)
        H[1:, 1:] += strength * (1 - l1) * np.eye(len(w))
        if l1:
            on[1:] = w != 0
            if np.any(np.abs(gradient[~on]) > strength * l1 * (1 + 1e-9)):
                raise AssertionError("a weight at zero wants to leave it")
    step = -np.linalg.solve(H[np.ix_(on, on)], gradient[on])
    return -0.5 * gradient[on] @ step, np.abs(step).max()


def strengths(problem: Problem, penalty: str) -> list[float]:
    """Fractions of the lasso's largest useful strength over neurons, three significant digits."""
    if penalty == "none":
        return [0.0]
    residual = problem.Y - problem.s @ problem.Y
    largest = np.abs(problem.X.T @ (problem.s[:, None] * residual)).max()
    return [float(f"{fraction * largest:.3g}") for fraction in FRACTIONS]


def solve(name: str, penalty: str) -> dict:
    """The best solution of every strength and neuron, and how far each library stays from it."""
    problem = PROBLEMS[name]()
    lambdas, q = strengths(problem, penalty), problem.Y.shape[1]
    best = {key: [[None] * q for _ in lambdas] for key in ("objective", "intercept", "coef")}
    excess: dict[str, float] = {}
    for k, strength in enumerate(lambdas):
        for j in range(q):
            found = {}
            for library, fit in SOLVERS.items():
                solution = fit(problem, problem.Y[:, j], penalty, strength)
                if solution is not None:
                    found[library] = objective(problem, j, penalty, strength, *solution), *solution
            value, b, w = min(found.values(), key=lambda row: row[0])
            where = f"{name}, {penalty}, lambda {strength}, neuron {j}"
            for library, row in found.items():
                excess[library] = max(excess.get(library, 0.0), (row[0] - value) / abs(value))
            decrease, step = newton_step(problem, j, penalty, strength, b, w)
            if max(excess.values()) > 1e-7 or decrease > 1e-10 * abs(value) or step > 1e-6:
                raise AssertionError(f"{where}: excess {excess}, one Newton step {decrease:.1e}, {step:.1e}")
            best["objective"][k][j], best["intercept"][k][j] = value, float(b)
            best["coef"][k][j] = w.tolist()
    print(f"{name:42s} {penalty:12s}", {k: f"{v:.0e}" for k, v in excess.items()}, flush=True)
    return {"lambdas": lambdas, **best, "relative_excess": excess}


def main() -> None:
    # Asked for more than float64 has, the libraries complain; `solve` judges what they found.
    warnings.simplefilter("ignore")
    logging.disable()
    if not SHARED.is_dir():
        raise SystemExit("the recordings in ../shared/data are needed to make the reference solutions")
    if not (HERE / "simulated.npz").exists():
        np.savez_compressed(HERE / "simulated.npz", **simulate())
    frozen = {
        "versions": {package: version(package) for package in (*LIBRARIES, "numpy", "scipy")},
        "cases": {name: {p: solve(name, p) for p in PENALTIES[name]} for name in PROBLEMS},
    }
    (HERE / "solutions.json").write_text(json.dumps(frozen, indent=1) + "\n")


if __name__ == "__main__":
    main()
