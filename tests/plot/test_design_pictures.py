"""Basis functions and design matrices as they are drawn."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from labelled_results import segments
from numpy.testing import assert_allclose
from scipy.optimize import minimize

import popglm as pg
from popglm.plot import basis_functions, design_matrix
from popglm.plot.design import _apart


def test_every_column_is_a_curve_over_the_variable():
    term = pg.bumps("position", n=20, low=10, high=250)
    ax = basis_functions(term, unit="cm")
    x = np.linspace(10, 250, 200)
    width = 4 * 240 / 19
    for center, line in zip(np.linspace(10, 250, 20), ax.lines, strict=True):
        assert_allclose(line.get_xdata(), x)
        inside = np.abs(x - center) < width / 2
        assert_allclose(line.get_ydata(), inside * (0.5 * np.cos(2 * np.pi * (x - center) / width) + 0.5), atol=1e-12)
    assert ax.get_xlabel() == "position (cm)"
    assert ax.get_title() == "position, 20 columns"


def test_groups_of_a_fitted_design():
    session = pg.maze_session(n_samples=500, n_neurons=1, n_task_variables=1).behavior
    design = pg.maze_design(1).fit(session)
    ax = basis_functions(design, group="yaw", unit="cm/s")
    assert len(ax.lines) == 7
    assert_allclose(ax.lines[0].get_xdata()[[0, -1]], [session["yaw"].min(), session["yaw"].max()])
    with pytest.raises(ValueError, match="group: nothing is named 'jaw'; did you mean 'yaw'"):
        basis_functions(design, group="jaw")
    with pytest.raises(ValueError, match="group must name one group to draw; there are 'position', 'position × cue'"):
        basis_functions(design)
    with pytest.raises(ValueError, match="the design has not been fitted"):
        basis_functions(pg.maze_design(1), group="yaw")
    with pytest.raises(ValueError, match="'yaw' has not been fitted"):
        basis_functions(pg.splines("yaw"))
    with pytest.raises(TypeError, match="found str"):
        basis_functions("yaw")


def test_lags_come_in_order_and_categories_by_name():
    ax = basis_functions(pg.shifts("speed", lags=[0, 0.2, -0.1], dt=0.1))
    assert_allclose(ax.lines[1].get_xdata(), [-0.1, 0, 0.2])
    assert_allclose(ax.lines[1].get_ydata(), [0, 0, 1])
    assert ax.get_xlabel() == "lag (s)"
    design = pg.Design([pg.categories("odour")]).fit({"odour": ["rose", "mint", "rose"]})
    ax = basis_functions(design)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["mint", "rose"]


def test_several_axes_are_told_apart():
    product = pg.bumps("x", n=3, low=0, high=1) * pg.bumps("y", n=3, low=0, high=1)
    with pytest.raises(ValueError, match=r"'x × y' has 2 \(x, y\): draw the terms that it is made of"):
        basis_functions(product)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize(("n_task_variables", "n_features", "n_groups"), [(8, 318, 21), (0, 54, 5), (29, 1011, 63)])
def test_the_image_is_the_matrix_and_borders_stand_between_groups(n_task_variables, n_features, n_groups):
    session = pg.maze_session(n_samples=200, n_neurons=1, n_task_variables=n_task_variables).behavior
    X = pg.maze_design(n_task_variables).fit_transform(session)
    ax = design_matrix(X)
    (image,) = ax.images
    assert_allclose(image.get_array(), X.T)
    assert list(image.get_extent()) == [0, 200, n_features, 0]
    borders = np.flatnonzero(X.columns.codes[0][1:] != X.columns.codes[0][:-1]) + 1
    lines, leaders = segments(ax)
    assert_allclose(lines[:, 0, 1], borders)
    # each leader runs from the middle of a group to its name
    edges = np.r_[0, borders, n_features]
    assert_allclose(leaders[:, 0, 1], (edges[1:] + edges[:-1]) / 2)
    assert_allclose(leaders[:, 1, 1], ax.get_yticks())
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(X.columns.unique(0))
    assert len(ax.get_yticks()) == n_groups
    assert ax.figure.axes[1].get_ylabel() == "Value (s.d.)"

    renderer = ax.figure.canvas.get_renderer()
    ax.figure.canvas.draw()
    boxes = [tick.get_window_extent(renderer) for tick in ax.get_yticklabels()]
    assert all(above.y0 > below.y1 for above, below in pairwise(boxes))  # no name over another


def test_one_sample_one_column_and_constant_columns():
    X = pd.DataFrame([[0.0]], columns=pd.MultiIndex.from_tuples([("speed", "linear")]))
    ax = design_matrix(X, unit="")
    assert ax.figure.axes[1].get_ylabel() == "Value"
    ax.figure.canvas.draw()
    with pytest.raises(ValueError, match="no rows"):
        design_matrix(X[:0])
    for other in (X.to_numpy(), pd.DataFrame([[0.0]])):
        with pytest.raises(TypeError, match=r"DataFrame that popglm\.Design returns"):
            design_matrix(other)


def test_names_move_as_little_as_they_can():
    centers = np.array([5.0, 30.0, 31.0, 33.0, 80.0, 97.0, 99.0])
    places = _apart(centers, 6.0, 100.0)
    constraints = [
        {"type": "ineq", "fun": lambda z: np.diff(z) - 6},
        {"type": "ineq", "fun": lambda z: np.r_[z[0] - 3, 97 - z[-1]]},
    ]
    best = minimize(
        lambda z: ((z - centers) ** 2).sum(), np.linspace(5, 95, 7), constraints=constraints, method="SLSQP"
    )
    assert_allclose(places, best.x, atol=1e-4)


def test_the_colour_bar_does_not_take_the_figure_of_others():
    _, (left, right) = plt.subplots(1, 2)
    X = pg.Design([pg.linear("speed")]).fit_transform({"speed": [1.0, 2.0, 4.0]})
    assert design_matrix(X, right) is right
    assert not left.images
    assert len(plt.get_fignums()) == 1


def test_names_of_groups_have_as_much_room_in_a_part_of_a_figure():
    X = pg.maze_design(1).fit_transform(pg.maze_session(n_samples=300, n_neurons=1, n_task_variables=1).behavior)
    left, _ = plt.figure(figsize=(16, 4)).subfigures(1, 2)
    inside = design_matrix(X, ax=left.subplots())
    alone = design_matrix(X, ax=plt.figure(figsize=(8, 4)).subplots())
    assert_allclose(inside.get_yticks(), alone.get_yticks())
    assert inside.get_yticklabels()[0].get_fontsize() == alone.get_yticklabels()[0].get_fontsize()
