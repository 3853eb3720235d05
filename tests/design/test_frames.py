"""Tables of polars and PyArrow: the same numbers as from pandas, in and out."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import popglm as pg
from popglm.frames import as_pandas
from popglm.recording import intervals, traces

polars = pytest.importorskip("polars", reason="polars is not installed: pip install polars")
N = 400


def a_table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "position": rng.uniform(0, 10, N),
            "cue": rng.choice(["left", "right"], N),
            "licks": pd.array(rng.integers(0, 3, N), dtype="int64"),
            "is_hit": rng.random(N) < 0.5,
            "trial": np.arange(N) // 40,
        }
    )


def in_polars(table):
    return polars.DataFrame({name: one.to_numpy() for name, one in table.items()})


def in_arrow(table):
    pyarrow = pytest.importorskip("pyarrow", reason="PyArrow is not installed: pip install pyarrow")
    return pyarrow.table({name: one.tolist() for name, one in table.items()})


def a_design():
    terms = [pg.bumps("position", n=5, low=0, high=10), pg.categories("cue"), pg.linear("is_hit")]
    return pg.Design([*terms, pg.kernel("licks", pg.bumps("lag", n=2, low=0, high=4))], trial="trial")


@pytest.mark.parametrize("given", [in_polars, in_arrow])
def test_a_session_of_another_library_has_the_same_design(given):
    expected = a_design().fit_transform(a_table())
    pd.testing.assert_frame_equal(a_design().fit_transform(given(a_table())), expected)
    pd.testing.assert_frame_equal(a_design().fit(a_table()).transform(given(a_table())), expected)


@pytest.mark.parametrize("given", [in_polars, in_arrow])
def test_missing_values_are_missing(given):
    table = given(pd.DataFrame({"x": [1.0, None, 3.0] * 20}))
    whole = {"x": [1, None, 3] * 20, "kind": ["a", None, "b"] * 20, "flag": [True, None, False] * 20}
    found = as_pandas(polars.DataFrame(whole) if given is in_polars else in_arrow(pd.DataFrame(whole, dtype=object)))
    assert found["x"].dtype == np.float64
    assert found.isna().mean().round(3).tolist() == [0.333] * 3
    X = pg.Design([pg.linear("x")]).fit_transform(table)
    np.testing.assert_allclose(X.iloc[:3, 0], [-1, 0, 1], atol=1e-6)


def test_the_order_of_categories_stays():
    levels = polars.Series(["low", "high", "low"], dtype=polars.Enum(["low", "middle", "high"]))
    found = as_pandas(polars.DataFrame({"level": levels}))["level"]
    assert found.cat.categories.tolist() == ["low", "middle", "high"]
    assert found.cat.ordered
    assert found.tolist() == ["low", "high", "low"]


def test_activity_and_columns_of_polars_have_their_names():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(N, 2)), rng.poisson(1.0, (N, 3))
    X, Y = polars.DataFrame(x, schema=["a", "b"]), polars.DataFrame(y, schema=["n1", "n2", "n3"])
    model, plain = (pg.GLM(lambdas=[0.1]).fit(*given) for given in ((X, Y), (x, y)))
    assert model.neuron_names_ == ["n1", "n2", "n3"]
    assert model.feature_names_in_.tolist() == ["a", "b"]
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    np.testing.assert_array_equal(model.predict(X), plain.predict(x))


def test_trials_and_neurons_may_be_tables_of_polars():
    trials = polars.DataFrame({"start_time": [0.0, 2.0], "stop_time": [1.0, None], "side": ["left", "right"]})
    with pytest.warns(pg.PopglmWarning, match="1 of 2 rows of the intervals have no stop_time"):
        found = intervals(trials)
    assert found["side"].tolist() == ["left", "right"]
    assert np.isnan(found["stop_time"].iloc[1])
    dff = traces(np.zeros((3, 2)), rate=6, neurons=polars.DataFrame({"depth": [120.0, 300.0]}))
    assert dff["depth"].values.tolist() == [120.0, 300.0]


def test_the_design_may_be_a_table_of_polars():
    expected = a_design().fit_transform(a_table())
    design = a_design().set_output(transform="polars")
    for found in (design.fit_transform(a_table()), clone(design).fit_transform(a_table()), design.transform(a_table())):
        assert isinstance(found, polars.DataFrame)
        assert found.columns == design.get_feature_names_out().tolist()
        np.testing.assert_array_equal(found.to_numpy(), expected.to_numpy())
    pd.testing.assert_frame_equal(
        design.set_output(transform=None).set_output(transform="pandas").transform(a_table()), expected
    )
    with config_context(transform_output="polars"):
        assert isinstance(a_design().fit_transform(a_table()), polars.DataFrame)
        assert isinstance(design.transform(a_table()), pd.DataFrame)


def test_a_pipeline_sets_the_output_of_its_design():
    counts = np.random.default_rng(2).poisson(1.0, (N, 2))
    pipeline = make_pipeline(a_design(), pg.GLM(lambdas=[0.1]))
    plain = clone(pipeline).fit(a_table(), counts).predict(a_table())
    pipeline.set_output(transform="pandas").fit(a_table(), counts)
    np.testing.assert_array_equal(pipeline.predict(in_polars(a_table())), plain)


def test_what_is_no_table_is_told():
    with pytest.raises(ValueError, match="Design: transform must be"):
        a_design().set_output(transform="arrow")
    with pytest.raises(TypeError, match=r"found LazyFrame; call its collect\(\) first"):
        a_design().fit(in_polars(a_table()).lazy())
