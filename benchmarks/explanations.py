"""What Shapley values cost, and how right noise ceilings and intervals over animals are, where the truth is known.

Run in popglm's environment::

    python benchmarks/explanations.py [shapley] [ceilings] [coverage]

Without a name, all three. ``shapley``: CPU time of the values of eight variables over that of the fit. ``ceilings``:
the ceiling of deviance of simulated Poisson neurons beside what true rates explain. ``coverage``: how often intervals
hold the truth, of averages and of differences between areas, where neurons of an animal and of a session are alike.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

import popglm as pg
from popglm.statistics.families import get_family


def shapley(n_samples: int = 6_000, n_neurons: int = 20) -> None:
    """CPU times of eight variables, by ablation and by re-fits."""
    session = pg.maze_session(n_samples=n_samples, n_neurons=n_neurons, n_task_variables=3)
    X = pg.maze_design(3).fit_transform(session.behavior)
    for penalty in ("group_lasso", "ridge"):
        model = pg.GLMCV(penalty=penalty, lambdas=10.0 ** np.linspace(-1, -6, 11), cv=5)
        # what a first fit compiles is no cost of the others
        model.fit(X, session.activity, groups=session.behavior["trial"])
        fit = cpu_time(partial(model.fit, X, session.activity, groups=session.behavior["trial"]))
        names = list(model.feature_group_names_)
        variables = {name: name for name in names[:7]} | {"others": names[7:]}
        values = partial(pg.shapley, model, X, session.activity, variables)
        taken = {method: cpu_time(partial(values, method=method)) for method in ("ablation", "refit")}
        ratios = ", ".join(f"{method} {seconds / fit:.2f} x" for method, seconds in taken.items())
        print(f"shapley, {penalty}, {X.shape[0]:,} x {X.shape[1]} x {n_neurons}: fit {fit:.1f} s of CPU; {ratios}")


def cpu_time(work: Callable[[], object]) -> float:
    """Seconds of a core."""
    began = time.process_time()
    work()
    return time.process_time() - began


def ceilings(n_conditions: int = 100, n_repeats: int = 10, n_neurons: int = 300) -> None:
    """The ceiling of deviance and what true rates explain, on average over neurons."""
    rng, loss = np.random.default_rng(0), get_family("poisson")
    condition, trial = np.tile(np.arange(n_conditions), n_repeats), np.repeat(np.arange(n_repeats), n_conditions)
    for events in (1, 4, 14, 40):
        rate = np.exp(0.8 * rng.normal(size=n_conditions))
        rate *= events / n_repeats / rate.mean()
        Y = rng.poisson(rate[condition], (n_neurons, len(condition))).T.astype(float)
        found = pg.noise_ceiling(Y, condition, trial=trial, family="poisson")["deviance_ceiling"].mean()
        of_truth, null = loss.unit_deviance(Y, rate[condition][:, None]), loss.unit_deviance(Y, Y.mean(axis=0))
        truth = (1 - of_truth.sum(axis=0) / null.sum(axis=0)).mean()
        print(f"ceilings, {events} events per condition over all repeats: {found:.3f}, true rates explain {truth:.3f}")


def coverage(n_runs: int = 120, n_sessions: int = 3, n_neurons: int = 20) -> None:
    """Shares of simulated data sets whose 95 % intervals hold the truth, which is 0."""
    rng = np.random.default_rng(0)
    for n_animals in (5, 10):
        animal = np.repeat(np.arange(n_animals), n_sessions * n_neurons)
        session = np.tile(np.repeat(np.arange(n_sessions), n_neurons), n_animals)
        area = np.arange(len(animal)) % 2
        held = np.zeros(3)
        for run in range(n_runs):
            of_animal, of_session = rng.normal(size=n_animals), 0.5 * rng.normal(size=(n_animals, n_sessions))
            of_area = 0.5 * rng.normal(size=(n_animals, 2))
            y = of_animal[animal] + of_session[animal, session] + of_area[animal, area] + rng.normal(size=len(animal))
            names = np.where(area == 1, "V1", "PPC")
            table = pd.DataFrame({"animal": animal, "session": session, "area": names, "y": y})
            given = {"n_resamples": 500, "seed": run}
            whole, apart = (pg.hierarchical_bootstrap(table, "y", by=by, **given) for by in (None, "area"))
            held += (
                whole["lower"].item() <= 0 <= whole["upper"].item(),
                apart["difference_lower"].item() <= 0 <= apart["difference_upper"].item(),
                abs(y.mean()) < 1.96 * y.std() / np.sqrt(len(y)),
            )
        average, difference, naive = held / n_runs
        print(
            f"coverage, {n_animals} animals, {n_runs} runs: averages {average:.2f}, differences {difference:.2f}; "
            f"intervals over neurons {naive:.2f}"
        )


def main() -> None:
    """Run what is named."""
    every = {one.__name__: one for one in (shapley, ceilings, coverage)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(every))
    names = parser.parse_args().names
    unknown = set(names) - set(every)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: known are {', '.join(every)}")
    warnings.simplefilter("ignore")
    for name in names or every:
        every[name]()


if __name__ == "__main__":
    main()
