"""What is fitted: the jobs, their sizes, and their arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import popglm as pg

LAMBDAS = 10.0 ** np.linspace(-1, -6, 11)
N_FOLDS = 5


@dataclass(frozen=True)
class Size:
    """A simulated session: 33 (v + 1) + 21 columns for v task variables."""

    n_samples: int
    n_task_variables: int
    n_neurons: int
    n_compared: int  # neurons that are fitted by libraries that loop over neurons


SIZES = {
    "tiny": Size(2_000, 1, 6, 2),
    "reduced": Size(8_000, 4, 20, 2),
    "tutorial": Size(27_396, 8, 100, 3),
    "headline": Size(30_000, 29, 250, 2),
}


@dataclass(frozen=True)
class Job:
    """One family and penalty, over `LAMBDAS`, with five folds by trial and a fit to all rows."""

    title: str
    family: str
    penalty: str
    peers: tuple[str, ...]
    one_neuron: bool = False


JOBS = {
    "poisson-group-lasso": Job("Poisson, group lasso", "poisson", "group_lasso", ("adelie",)),
    "gaussian-ridge": Job("Gaussian, ridge", "gaussian", "ridge", ("himalaya", "scikit-learn")),
    "gaussian-group-lasso": Job("Gaussian, group lasso", "gaussian", "group_lasso", ("adelie", "adelie-gram", "skglm")),
    "gaussian-lasso": Job("Gaussian, lasso", "gaussian", "lasso", ("adelie", "adelie-gram", "skglm", "scikit-learn")),
    "bernoulli-group-lasso": Job("Bernoulli, group lasso", "bernoulli", "group_lasso", ("adelie", "skglm")),
    "poisson-ridge": Job("Poisson, ridge", "poisson", "ridge", ("glum", "scikit-learn", "nemos")),
    "poisson-lasso": Job("Poisson, lasso", "poisson", "lasso", ("adelie", "glum", "skglm")),
    "poisson-elastic-net": Job("Poisson, elastic net", "poisson", "elastic_net", ("adelie", "glum", "skglm")),
    "one-neuron": Job("One neuron, Poisson, group lasso", "poisson", "group_lasso", ("adelie",), one_neuron=True),
}

#: Jobs that peers cannot do, for pairs of revisions.
ALONE = {
    "negative-binomial-group-lasso": Job("Negative binomial, group lasso", "negative_binomial", "group_lasso", ()),
}


def write_arrays(job: Job, size: Size, path: Path) -> None:
    """Simulate the session of a job and save what every library's environment can read."""
    session = pg.maze_session(size.n_samples, size.n_neurons, n_task_variables=size.n_task_variables)
    X = pg.maze_design(size.n_task_variables).fit_transform(session.behavior)
    Y = session.activity.to_numpy()
    if job.family == "gaussian":
        # strengths then mean the same for every neuron, as they do for rates
        Y = (Y - Y.mean(axis=0)) / Y.std(axis=0)
    elif job.family == "bernoulli":
        Y = (Y > 0).astype(np.float32)
    elif job.family == "negative_binomial":
        # counts whose rate varies by itself, with a dispersion of 2/3
        rng = np.random.default_rng(0)
        Y = rng.poisson(rng.gamma(1.5, 1 / 1.5, Y.shape) * Y).astype(np.float32)
    np.savez(
        path,
        X=X.to_numpy(),
        Y=Y,
        fold=session.behavior["trial"].to_numpy() % N_FOLDS,  # the same folds for every library, trials dealt in turn
        sizes=X.columns.get_level_values("group").value_counts(sort=False).to_numpy(),
        lambdas=LAMBDAS,
        family=job.family,
        penalty=job.penalty,
        l1_ratio=0.5,
        n_compared=size.n_compared,
        one_neuron=job.one_neuron,
    )
