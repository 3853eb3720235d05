"""Which columns of a term are neighbours, by where on the grid of its variables they are largest."""

import copy

import numpy as np
import pandas as pd
import pytest

import popglm as pg
from popglm.shapes import Shape, noted_shapes, read_shape


@pytest.fixture
def session():
    rng = np.random.default_rng(0)
    n = 400
    return {
        "x": rng.uniform(0, 10, n),
        "y": rng.uniform(0, 10, n),
        "heading": rng.uniform(0, 2 * np.pi, n),
        "cue": rng.choice(["a", "b", "c"], n),
        "lick": (rng.random(n) < 0.05).astype(float),
        "speed": rng.standard_normal(n),
    }


X, Y, HEADING, CUE = pg.bumps("x", 5, 0, 10), pg.bumps("y", 4, 0, 10), pg.cyclic_splines("heading", 6), "cue"
LAG = pg.bumps("lag", 3, 0, 8)


@pytest.mark.parametrize(
    ("term", "axes"),
    [
        (X, [("line", 5)]),
        (pg.splines("x", 7), [("line", 7)]),
        (HEADING, [("circle", 6)]),
        (pg.categories("cue"), [("levels", 3)]),
        (pg.linear("speed"), [("line", 1)]),
        (X * Y, [("line", 5), ("line", 4)]),
        (X * "speed", [("line", 5)]),
        ("speed" * X, [("line", 5)]),
        (X * pg.categories("cue"), [("line", 5), ("levels", 3)]),
        (pg.categories("cue") * X, [("levels", 3), ("line", 5)]),
        (X * HEADING * pg.categories("cue"), [("line", 5), ("circle", 6), ("levels", 3)]),
        (pg.shifts("speed", range(-2, 3)), [("line", 5)]),
        (pg.shifts(HEADING, [1, 2]), [("line", 2), ("circle", 6)]),
        (pg.kernel("lick", LAG), [("line", 3)]),
        (pg.kernel("lick", LAG, side="both"), [("levels", 2), ("line", 3)]),
        (pg.kernel("lick", LAG, side="both") * pg.categories("cue"), [("levels", 2), ("line", 3), ("levels", 3)]),
        (pg.history("lick", LAG), [("line", 3)]),
    ],
)
def test_axes_of_terms(session, term, axes):
    design = pg.Design([term]).fit(session)
    (shape,) = design.group_shapes_
    assert shape.axes == tuple(axes)
    assert shape.places is None
    assert shape.n_columns == design.group_sizes_[0]


def test_neighbours_on_the_grid_are_neighbours_of_the_shape(session):
    design = pg.Design([X * Y]).fit(session)
    (term,), (shape,) = design.terms_.values(), design.group_shapes_
    points, basis = term.grid(101)
    at = points[basis.argmax(axis=0)]
    cells = np.array(np.unravel_index(np.arange(20), [n for _, n in shape.axes])).T
    # centres are 10 / 4 and 10 / 3 apart
    np.testing.assert_allclose(at, cells * [10 / 4, 10 / 3], atol=0.1)


def test_lags_are_neighbours_in_time(session):
    design = pg.Design([pg.shifts(pg.categories("cue"), [0, 3, -1])]).fit(session)
    (shape,) = design.group_shapes_
    assert shape == Shape((("line", 3), ("levels", 3)), (3, 4, 5, 6, 7, 8, 0, 1, 2))


def test_tables_carry_shapes_through_selection_and_order(session):
    design = pg.Design([X * Y, HEADING])
    table = design.fit_transform(session)
    by_name = dict(zip(design.groups_, design.group_shapes_, strict=True))
    assert noted_shapes(table) == by_name == noted_shapes(copy.deepcopy(table)) == noted_shapes(table.iloc[:10])
    assert noted_shapes(table[["heading"]]) == {"heading": by_name["heading"]}
    columns = table.columns[[7, 2, 21]]
    assert noted_shapes(table[columns]) == {
        "x × y": Shape((("line", 5), ("line", 4)), (7, 2)), "heading": Shape((("circle", 6),), (1,))
    }  # fmt: skip
    lags = pg.Design([pg.shifts("speed", [0, 2, 1])]).fit_transform(session)
    assert noted_shapes(lags.iloc[:, [1, 2]])["speed shifts"] == Shape((("line", 3),), (2, 1))
    assert noted_shapes(pd.DataFrame(table.to_numpy(), columns=table.columns)) == {}
    assert noted_shapes(table.rename(columns={"heading": "angle"})) == {"x × y": by_name["x × y"]}


def test_a_part_for_a_neuron_has_its_own_shapes():
    session = {"n0": np.arange(20.0) % 3, "n1": np.arange(20.0) % 4}
    design = pg.Design([pg.history("n0", LAG), *pg.coupling(["n0", "n1"], LAG)]).fit(session)
    assert len(design.for_neuron("n0").group_shapes_) == 2


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        (12, Shape.of("line", 12)),
        (("circle", 8), Shape.of("circle", 8)),
        ([("circle", 8)], Shape.of("circle", 8)),
        ((3, ("levels", 2)), Shape((("line", 3), ("levels", 2)))),
        (np.array([3, 4]), Shape((("line", 3), ("line", 4)))),
        (Shape.of("line", 2).ordered([1, 0]).plain(), Shape((("line", 2),), (1, 0))),
    ],
)
def test_shapes_are_read_as_they_are_written(given, shape):
    assert read_shape(given, "group 'a'") == shape
    assert read_shape(shape.plain(), "group 'a'") == shape


@pytest.mark.parametrize(
    "given", [0, -3, 2.5, True, "line", (), (3, "x"), [("ring", 3)], [("circle", 0)], {"n": 3}, None]
)
def test_what_is_no_shape_is_told(given):
    with pytest.raises(ValueError, match=r"group 'a': an axis must be .*found"):
        read_shape(given, "group 'a'")
