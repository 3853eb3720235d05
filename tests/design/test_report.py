"""The report of a design against NumPy: ranks, conditions, shares counted by hand."""

import numpy as np
import pandas as pd
import pytest

from popglm.design import Design, bumps, categories, linear, log_bumps, splines
from popglm.warnings import PopglmWarning


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


def test_a_warning_of_many_columns_names_the_first_and_counts_the_rest():
    """Sessions in which nothing moves, with categories whose names are sentences: no warning fills a screen."""
    n = 12
    levels = [f"level{k} " * 40 for k in range(300)]
    many = [categories(f"variable{k}", levels=levels) for k in range(11)]
    session = {f"variable{k}": np.full(n, levels[0]) for k in range(11)}
    with pytest.warns(PopglmWarning) as caught:
        Design(many).fit(session)
    (said,) = (str(warning.message) for warning in caught)
    assert said.startswith("3300 constant column(s) carry no information and are set to 0: variable0 (level0 level0")
    assert said.endswith("and 1 more")
    assert len(said) < 2500
    unknown = [linear("v" * 300 + f"{k}") for k in range(12)]
    with pytest.warns(
        PopglmWarning, match=r"12 term\(s\), which are set to 0: (v{77}\.\.\., ){9}v{77}\.\.\. and 2 more$"
    ):
        Design(unknown).fit({term.variable: np.full(n, np.nan) for term in unknown})
