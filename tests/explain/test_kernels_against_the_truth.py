"""Kernels in a simulated session, whose true ones are known."""

import numpy as np
import pandas as pd
import pytest

import popglm as pg
from popglm.explain import kernels


class Maze:
    """A session of the maze task, and how kernels fitted to it agree with the true ones."""

    def __init__(self, n_task_variables, n_neurons, n_samples):
        self.session = pg.maze_session(n_samples, n_neurons, n_task_variables=n_task_variables)
        self.design = pg.maze_design(n_task_variables)
        self.X = self.design.fit_transform(self.session.behavior)

    def fit(self):
        model = pg.GLMCV(penalty="group_lasso", lambdas=10.0 ** np.linspace(-1, -3.25, 6), cv=3, tol=1e-3)
        return model.fit(self.X, self.session.activity, groups=self.session.behavior["trial"])

    def correlations(self, model):
        """Per neuron, of the kernels of all groups together, and per neuron and active group (size: true std)."""
        by_group = []
        for group, dataset in kernels(model, self.design, n_points=50).items():
            basis = self.design.terms_[group].grid(50)[1]
            truth = self.session.truth.weights[group].to_numpy() @ basis.T
            pair = np.stack([dataset["kernel"].values, truth])
            # bases that sum to a constant trade it against the baseline: compare around the mean of each kernel
            by_group.append(pair - pair.mean(axis=-1, keepdims=True))
        estimated, truth = np.stack(by_group, axis=2)  # (n_neurons, n_groups, n_points)

        def cosine(axes):
            norms = [np.sqrt((k**2).sum(axes)) for k in (estimated, truth)]
            return (estimated * truth).sum(axes) / np.maximum(np.prod(norms, axis=0), 1e-12)

        active = np.nonzero(self.session.truth.active.to_numpy())
        groups = pd.DataFrame({"neuron": active[0], "r": cosine(-1)[active], "size": truth.std(axis=-1)[active]})
        return cosine((-2, -1)), groups


@pytest.mark.thorough
def test_kernels_of_well_explained_neurons_are_the_true_ones():
    maze = Maze(n_task_variables=3, n_neurons=10, n_samples=27_396)
    model = maze.fit()
    r, groups = maze.correlations(model)
    good = np.flatnonzero(model.cv_deviance_explained_ > 0.2)
    groups = groups[groups["neuron"].isin(good)]
    print(f"{len(good)} neurons: min {r[good].min():.3f}, median {np.median(r[good]):.3f}")
    print(f"{len(groups)} groups: > 0.9 {(groups['r'] > 0.9).mean():.3f}, median {groups['r'].median():.3f}")
    assert len(good) >= 6
    assert (r[good] > 0.9).all()
    assert np.median(r[good]) > 0.98
    assert (groups["r"] > 0.9).mean() > 0.9
    # what is left are small kernels, lost in the noise of their neurons
    assert (groups["r"][groups["size"] > 0.5] > 0.9).all()


@pytest.mark.thorough
def test_kernels_of_correlated_variables_are_bound_by_noise_and_shrinkage():
    # eight task variables share much of their variance, and a session of this length does not always tell them apart
    maze = Maze(n_task_variables=8, n_neurons=8, n_samples=27_396)
    model = maze.fit()
    good = model.cv_deviance_explained_ > 0.2
    r, _ = maze.correlations(model)
    print(f"{good.sum()} neurons: > 0.9 {(r[good] > 0.9).mean():.3f}, median {np.median(r[good]):.3f}")
    assert (r[good] > 0.9).mean() > 0.9
    assert np.median(r[good]) > 0.97
    # without noise, and next to no penalty, the kernels of all neurons are the true ones
    path = pg.GLM(penalty="group_lasso", lambdas=10.0 ** np.linspace(-1, -5, 5)).fit(maze.X, maze.session.truth.rate)
    assert (maze.correlations(path)[0] > 0.99).all()
