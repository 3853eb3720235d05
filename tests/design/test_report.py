"""The report of a design against NumPy: ranks, conditions, shares counted by hand."""

import numpy as np
import pandas as pd
import pytest

from popglm.design import Design, bumps, categories, linear, log_bumps, splines


def takes_part(X):
    """Columns that are combinations of the others and a constant: without them the rank stays."""
    X = np.column_stack([X, np.ones(len(X))])
    rank = np.linalg.matrix_rank
    return np.array([rank(np.delete(X, k, axis=1)) == rank(X) for k in range(X.shape[1] - 1)])


@pytest.mark.parametrize("n", [60, 4000])  # fewer rows than buckets of the sketch, and more
def test_collinear_columns_and_conditions_are_those_of_numpy(n):
    rng = np.random.default_rng(0)
    session = pd.DataFrame(rng.normal(size=(n, 4)), columns=list("abcd"))
    session["sum"] = session["a"] - 3 * session["b"] + 7
    session["near"] = session["c"] + 1e-3 * rng.normal(size=n)
    session["x"], session["level"] = rng.uniform(0, 10, n), rng.choice(list("uvw"), n)
    terms = [
        *(linear(v) for v in ("a", "b", "c", "d", "sum", "near")),
        *(
            splines("x", n=5),
            bumps("x", 5, 0, 10, name="bumps"),
            log_bumps("x", 4, 0, 12, name="log"),
            categories("level"),
        ),
    ]
    design = Design(terms, dtype="float64")
    X = design.fit_transform(session)
    part = pd.Series(takes_part(X.to_numpy()), index=X.columns)
    expected = part.groupby(level="group", sort=False).sum()
    assert expected[["a", "b", "c", "d", "sum", "near", "x", "level"]].tolist() == [1, 1, 0, 0, 1, 0, 5, 3]
    pd.testing.assert_series_equal(design.report_["collinear"], expected, check_names=False, check_dtype=False)
    for group, condition in design.report_["condition"].items():
        found = np.linalg.cond(X[group].to_numpy())
        assert condition == (np.inf if found > 1e6 else pytest.approx(found, rel=1e-6)), group
    # the same session once more gives the same report, on fit, on fit_transform and on report
    pd.testing.assert_frame_equal(design.report(session), design.report_)
    pd.testing.assert_frame_equal(Design(terms, dtype="float64").fit(session).report_, design.report_)


def test_shares_are_counted():
    x = np.append(np.linspace(0, 50, 90), [np.nan] * 5 + [-90.0, 900, 900, 900, 900])
    session = {"x": x, "level": ["a"] * 60 + ["b"] * 38 + [None] * 2}
    terms = [
        bumps("x", 5, 0, 50),
        splines("x", name="s"),
        linear("x", name="l"),
        categories("level", levels=["a", "c"]),
    ]
    with pytest.warns(UserWarning, match="constant"):
        report = Design(terms).fit(session).report_
    assert report.index.name == "group"
    assert report["columns"].tolist() == [5, 7, 1, 2]
    assert report["unknown"].tolist() == pytest.approx([0, 0, 0.05, 0.4])
    assert report["outside"].tolist() == pytest.approx([0.05, 0, 0, 0.38])
    assert report.loc["level", "never_visited"] == 2  # all known samples are "a"
    fitted = Design(terms[1:2]).fit({"x": np.linspace(0, 50, 90)})
    assert fitted.report(session)["outside"].item() == pytest.approx(0.05)


def test_wide_designs_say_that_nobody_looked():
    session = {"x": np.random.default_rng(0).uniform(0, 1, 300)}
    with pytest.warns(UserWarning, match="constant"):
        report = Design([bumps("x", 2500, 0, 1), linear("x", name="l")]).fit(session).report_
    assert report["collinear"].isna().all()
    assert report["condition"].notna().tolist()[1]
