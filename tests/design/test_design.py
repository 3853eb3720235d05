"""The Design transformer: the tutorial's recipe, statistics, scikit-learn rules, kinds of input."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from popglm.design import (
    Design,
    bumps,
    categories,
    cyclic_splines,
    kernel,
    linear,
    log_bumps,
    shifts,
    splines,
    transformed,
)
from popglm.warnings import ConvergenceWarning, PopglmWarning

TASK = ("cue", "cho", "corr", "prevCorr", "rule_following", "bias_following", "belief", "dyn_cho")


def maze(n_trials=60, seed=0):
    """Return a session with the columns of the tutorial: run to the choice point, then wait."""
    rng = np.random.default_rng(seed)
    trials = []
    for trial in range(n_trials):
        run, wait = rng.integers(20, 40), rng.integers(24, 31)
        part = pd.DataFrame({"trial": np.full(run + wait, trial)})
        part["position"] = np.append(np.linspace(8, 252, run), np.full(wait, np.nan))
        part["time_from_choice"] = np.append(np.full(run, np.nan), np.arange(wait) / 6)
        for variable in TASK[:6]:
            part[variable] = rng.choice([-1, 1])
        trials.append(part)
    session = pd.concat(trials, ignore_index=True)
    n = len(session)
    session["belief"], session["dyn_cho"] = np.tanh(rng.normal(size=(2, n)))
    session[["pitch", "roll", "yaw"]] = rng.standard_t(4, size=(n, 3))
    return session.set_index(pd.Index(np.arange(n) / 6, name="time"))


def tutorial(**options):
    position = bumps("position", n=20, low=10, high=250)
    elapsed = bumps("time_from_choice", n=13, low=0, high=5)
    return Design(
        [
            *(position, *(position * v for v in TASK)),
            *(elapsed, *(elapsed * v for v in TASK)),
            *(splines(v, n=7, quantiles=True) for v in ("pitch", "roll", "yaw")),
        ],
        trial="trial",
        **options,
    )


def everything():
    """One term of each kind."""
    speed = transformed("pitch", PolynomialFeatures(3, include_bias=False), name="speed")
    return Design(
        [
            bumps("position", 5, 10, 250) * "cue",
            splines("pitch", quantiles=True) * categories("cho", levels=[-1, 1]),
            cyclic_splines("roll", n=5),
            linear("belief"),
            categories("corr"),
            log_bumps("time_from_choice", 4, 0, 5),
            shifts("yaw", [0, 3, -3]),
            kernel("dyn_cho", log_bumps("lag", 4, 0, 3), side="both", dt=1 / 6),
            speed,
        ],
        trial="trial",
    )


def test_the_tutorial_gives_318_columns_in_21_groups():
    session = maze()
    design = tutorial()
    X = design.fit_transform(session)
    assert X.shape == (len(session), 318)
    assert design.group_sizes_ == [20] * 9 + [13] * 9 + [7] * 3
    assert design.groups_ == [
        *("position", *(f"position × {v}" for v in TASK)),
        *("time_from_choice", *(f"time_from_choice × {v}" for v in TASK)),
        *("pitch", "roll", "yaw"),
    ]
    assert list(X.columns.unique("group")) == design.groups_ == list(design.terms_)
    assert X.columns.names == ["group", "feature"]
    assert X.columns[20] == ("position × cue", "bump0")
    assert (X.dtypes == np.float32).all()
    pd.testing.assert_index_equal(X.index, session.index)
    values = X.to_numpy(dtype=np.float64)
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(values.std(axis=0), 1, atol=1e-5)


def test_columns_are_z_scored_as_scikit_learn_does():
    session = maze(20)
    raw = tutorial(standardize=False, dtype="float64").fit_transform(session)
    design = tutorial(dtype="float64")
    X = design.fit_transform(session)
    scaler = StandardScaler().fit(raw.to_numpy())
    np.testing.assert_allclose(X, scaler.transform(raw.to_numpy()), atol=1e-10)
    np.testing.assert_allclose(design.means_, scaler.mean_)
    np.testing.assert_allclose(design.scales_, scaler.scale_)
    np.testing.assert_array_equal(tutorial().fit_transform(session), X.astype(np.float32))


def test_transform_repeats_the_statistics_of_fit():
    train, test = maze(30), maze(12, seed=1)
    design = everything()
    X = design.fit_transform(train)
    pd.testing.assert_frame_equal(design.transform(train), X)
    pd.testing.assert_frame_equal(everything().fit(train).transform(train), X)
    raw = everything().set_params(standardize=False, dtype="float64").fit(train)
    fitted, new = raw.transform(train), raw.transform(test)
    alike = ~X.columns.get_level_values("group").isin(["yaw shifts", "dyn_cho kernel"])  # these have unknown lags
    expected = (new - fitted.mean()) / fitted.std(ddof=0)
    np.testing.assert_allclose(design.transform(test).loc[:, alike], expected.loc[:, alike], atol=1e-4)
    past, ago = (df.groupby("trial")["yaw"].shift(3) for df in (train, test))
    expected = ((ago - past.mean()) / past.std(ddof=0)).fillna(0)
    np.testing.assert_allclose(design.transform(test)["yaw shifts"]["lag3"], expected, atol=1e-4)
    # whole trials do not know of each other: a part of the session gives the same rows
    part = train[train["trial"].between(4, 9)]
    pd.testing.assert_frame_equal(design.transform(part), X.loc[part.index])


def test_scikit_learn_rules_hold():
    design = everything()
    params = design.get_params()
    assert list(params) == ["dtype", "standardize", "terms", "trial"]
    assert params["terms"] is design.terms
    session = maze(12)
    X = design.fit_transform(session)
    twin = clone(design)
    assert not hasattr(twin, "terms_")
    pd.testing.assert_frame_equal(twin.fit_transform(session), X)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(design)).transform(session), X)
    assert "bumps" in repr(design).lower()
    names = design.get_feature_names_out()
    assert names.shape == (X.shape[1],)
    assert names[0] == "position × cue_bump0"
    with pytest.raises(NotFittedError):
        everything().transform(session)


def test_fitting_leaves_the_terms_of_the_caller_alone():
    term = splines("pitch")
    design = Design([term]).fit(maze(5))
    assert not hasattr(term, "low_")
    assert design.terms[0] is term
    assert design.terms_["pitch"] is not term
    assert hasattr(design.terms_["pitch"], "low_")


def test_it_takes_part_in_a_pipeline():
    session = maze(10)
    target = session["belief"]
    by_hand = Ridge().fit(everything().fit_transform(session).to_numpy(), target)
    line = make_pipeline(everything(), Ridge()).fit(session, target)
    np.testing.assert_allclose(line[-1].coef_, by_hand.coef_, atol=1e-5)


def test_every_kind_of_session_gives_the_same_matrix():
    session = maze(15)
    expected = everything().fit_transform(session)
    arrays = {name: column.to_numpy() for name, column in session.items()}

    class Tsd:
        """What numpy sees of a pynapple Tsd."""

        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            return np.asarray(self.values, dtype=dtype)

    class TsdFrame(Tsd):
        t = session.index.to_numpy()
        columns = tuple(session)

    for other in (
        arrays,
        {name: values.tolist() for name, values in arrays.items()},
        {name: Tsd(values) for name, values in arrays.items()},
        xr.Dataset({name: ("time", values) for name, values in arrays.items()}),
        TsdFrame(session.to_numpy(dtype=float)),
    ):
        X = everything().fit_transform(other)
        np.testing.assert_array_equal(X, expected)
    np.testing.assert_array_equal(X.index, session.index)  # the times of the TsdFrame
    whatever = {
        **arrays,
        "note": object(),
        "video": np.zeros((3, 4, 5)),
    }  # unused variables are not looked at
    np.testing.assert_array_equal(everything().fit_transform(whatever), expected)


TIMES = np.r_[0:4, 100:104] * 0.1


class TestLabelsInAMapping:
    TABLE = pd.DataFrame({"u": np.arange(1.0, 9), "c": np.arange(8.0) ** 2, "kind": list("aabbabab")}, index=TIMES)

    @staticmethod
    def design():
        return Design([shifts("u", [1]), linear("c"), categories("kind")], standardize=False)

    @pytest.mark.parametrize("kind", ["Series", "DataArray", "Tsd"])
    def test_entries_stand_in_the_order_of_the_first(self, kind):
        Tsd = pytest.importorskip("pynapple").Tsd if kind == "Tsd" else None

        def labelled(name):
            column = self.TABLE[name] if name == "u" or kind == "Tsd" else self.TABLE[name].iloc[::-1]
            if kind == "Series":
                return column
            if kind == "Tsd":
                return Tsd(t=column.index.to_numpy(), d=column.to_numpy())
            return xr.DataArray(column.to_numpy(), coords={"time": column.index}, dims="time")

        expected = self.design().fit_transform(self.TABLE)
        # the gap between the rows 3 and 4 is found in the labels
        assert expected.iloc[4, 0] == 0
        session = {name: labelled(name) for name in ("u", "c")} | {"kind": self.TABLE["kind"].to_numpy()}
        design = self.design()
        for found in (design.fit_transform(session), design.transform(session)):
            pd.testing.assert_frame_equal(found.rename_axis(index=None), expected)

    def test_a_dataset_has_its_coordinate(self):
        data = xr.Dataset({name: ("time", self.TABLE[name].to_numpy()) for name in self.TABLE}, {"time": TIMES})
        found = self.design().fit_transform(data).rename_axis(index=None)
        pd.testing.assert_frame_equal(found, self.design().fit_transform(self.TABLE))

    def test_a_count_is_no_label(self):
        plain = self.TABLE.reset_index(drop=True)
        expected = self.design().fit_transform(self.TABLE)
        mixed = {"u": self.TABLE["u"], "c": plain["c"], "kind": list(plain["kind"])}
        pd.testing.assert_frame_equal(self.design().fit_transform(mixed), expected)
        mixed = {"u": plain["u"], "c": self.TABLE["c"], "kind": plain["kind"]}
        pd.testing.assert_frame_equal(self.design().fit_transform(mixed), expected)
        arrays = {name: plain[name].to_numpy() for name in plain}
        assert isinstance(self.design().fit_transform(arrays).index, pd.RangeIndex)

    def test_trials_are_put_in_order_too(self):
        trial = pd.Series(np.repeat([1, 2, 3, 4], 2), TIMES)
        table = self.TABLE.assign(trial=trial)
        session = {name: self.TABLE[name] for name in self.TABLE} | {"trial": trial.sample(frac=1, random_state=0)}
        expected = self.design().set_params(trial="trial").fit_transform(table)
        pd.testing.assert_frame_equal(self.design().set_params(trial="trial").fit_transform(session), expected)

    def test_labels_of_other_samples_are_refused(self):
        session = {name: self.TABLE[name] for name in self.TABLE} | {"c": self.TABLE["c"].set_axis(TIMES + 7)}
        with pytest.raises(ValueError, match=r"variable 'c' and variable 'u' have different row labels: row 0 is 7\.0"):
            self.design().fit_transform(session)


def test_values_under_a_mask_are_missing():
    masked = {
        "x": np.ma.masked_array([1.0, 2.0, 1e6], mask=[0, 0, 1]),
        "i": np.ma.masked_array([1, 2, 99], mask=[0, 1, 0]),
        "kind": np.ma.masked_array(["a", "b", "c"], mask=[0, 0, 1]),
    }
    X = Design([linear("x"), linear("i"), categories("kind")], standardize=False).fit_transform(masked)
    np.testing.assert_array_equal(X, [[1, 1, 1, 0], [2, 0, 0, 1], [0, 99, 0, 0]])


def test_pandas_types_with_missing_values_are_numbers_too():
    session = pd.DataFrame(
        {
            "i": pd.array([1, None, 3], dtype="Int64"),
            "b": pd.array([True, None, False], dtype="boolean"),
            "o": pd.Series([1, None, 2.5], dtype=object),
            "flag": [True, False, True],
        }
    )
    X = Design([linear(v) for v in session], standardize=False).fit_transform(session)
    np.testing.assert_array_equal(X, [[1, 1, 1, 1], [0, 0, 0, 0], [3, 0, 2.5, 1]])


def test_constant_columns_become_zero_with_one_warning_that_names_them():
    session = {"x": np.linspace(0, 1, 20), "flat": np.full(20, 0.1), "trial": np.zeros(20)}
    design = Design([bumps("x", 6, 0, 3), linear("flat"), linear("x", name="slope")])
    with pytest.warns(PopglmWarning) as caught:
        X = design.fit_transform(session)
    assert len(caught) == 1
    assert str(caught[0].message) == (
        "3 constant column(s) carry no information and are set to 0: x (bump4, bump5); flat (linear)"
    )
    assert caught[0].filename == __file__
    constant = [("x", "bump4"), ("x", "bump5"), ("flat", "linear")]
    assert (X[constant] == 0).all(axis=None)
    assert (X.drop(columns=constant).std(ddof=0).round(4) == 1).all()
    new = {"x": np.full(3, 3.0), "flat": np.arange(3.0)}
    assert (design.transform(new)[constant] == 0).all(axis=None)  # no weight was learned for them
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw = design.set_params(standardize=False).fit_transform(session)
    assert (raw["flat"]["linear"] == np.float32(0.1)).all()


def test_a_large_offset_is_no_constant():
    clock = 1.7e9 + np.arange(100) / 30
    X = Design([linear("clock")]).fit_transform({"clock": clock})
    np.testing.assert_allclose(X.to_numpy()[:, 0], (np.arange(100) - 49.5) / np.arange(100).std(), atol=1e-4)


def test_the_warnings_can_be_filtered_by_class():
    from sklearn.exceptions import ConvergenceWarning as SklearnConvergenceWarning

    assert issubclass(PopglmWarning, UserWarning)
    assert issubclass(ConvergenceWarning, PopglmWarning)
    assert issubclass(ConvergenceWarning, SklearnConvergenceWarning)


def test_a_variable_that_is_never_known_is_not_called_constant():
    session = {"x": np.linspace(0, 1, 50), "pupil": np.full(50, np.nan)}
    with pytest.warns(PopglmWarning) as caught:
        X = Design([linear("x"), linear("pupil")]).fit_transform(session)
    assert str(caught[0].message) == "no sample is known (NaN) of 1 term(s), which are set to 0: pupil"
    assert not X["pupil"].to_numpy().any()


def test_the_tail_of_a_bump_that_was_not_visited_counts_as_constant():
    """Its values of 1e-6 or so, z-scored, would be a million at its peak in new data."""
    seen = {"x": np.append(np.linspace(0, 50, 999), 54.0)}
    bump = bumps("x", n=5, low=0, high=100)  # bump4 begins at 50, and reaches 0.5 at 75
    with pytest.warns(PopglmWarning, match=r"1 constant column\(s\).*: x \(bump4\)"):
        design = Design([bump], dtype="float64").fit(seen)
    assert design.transform({"x": [100.0]})[("x", "bump4")].item() == 0
    # one sample at the peak is a visit, and then no column of new data is beyond 10 √n
    design = Design([bump], dtype="float64").fit({"x": np.append(np.linspace(0, 50, 999), 100.0)})
    new = design.transform({"x": np.linspace(0, 100, 400)})
    assert np.isfinite(design.scales_).all()
    assert np.abs(new).to_numpy().max() < 10 * np.sqrt(1000)


def test_columns_of_a_transformer_may_have_different_scales():
    powers = transformed("x", PolynomialFeatures(3, include_bias=False))
    design = Design([powers]).fit({"x": np.linspace(0, 1e4, 200)})
    assert np.isfinite(design.scales_).all()
