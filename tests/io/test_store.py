"""A fitted model comes back from a file, a pickle or a clone as it was."""

import pickle
from copy import copy

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import KFold

import popglm
from popglm import GLM, GLMCV

RNG = np.random.default_rng(2)
N = 200
COLUMNS = pd.MultiIndex.from_tuples(
    [("position", "b0"), ("position", "b1"), ("position", "b2"), ("speed", "b0"), ("speed", "b1")]
)
X = pd.DataFrame(RNG.standard_normal((N, 5)), columns=COLUMNS)
Y = pd.DataFrame(RNG.poisson(np.exp(0.5 * X.to_numpy()[:, :3])), columns=["cell a", "cell b", "cell c"])

MODELS = {
    "GLM": GLM(penalty="group_lasso", n_lambdas=4),
    "GLM, float64, shared strengths": GLM(lambdas=np.array([0.1, 0.01]), precision="float64"),
    "GLM, strengths per neuron": GLM(lambdas=np.outer([0.1, 0.01], [1.0, 2.0, 3.0])),
    "GLM, feature_groups given": GLM(penalty="group_lasso", feature_groups=pd.Index(list("aabbb")), n_lambdas=3),
    "GLM, first order": GLM(solver=popglm.FirstOrder("adam"), lambdas=[0.1], max_iter=50, tol=1.0),
    "GLMCV": GLMCV(penalty="lasso", n_lambdas=4, cv=3, se_fraction=0.5),
    "GLMCV, splitter": GLMCV(penalty="lasso", n_lambdas=4, cv=KFold(4, shuffle=True, random_state=0)),
    "GLMCV, patience": GLMCV(penalty="lasso", n_lambdas=8, cv=3, patience=1),
    "GLMCV, without refit": GLMCV(n_lambdas=4, cv=3, refit=False),
}  # fmt: skip

FITTED = [
    "lambdas_", "lambda_", "lambda_index_", "coef_path_", "intercept_path_", "gap_", "n_iter_", "loss_path_",
    "null_fitted_", "fold_", "cv_coef_path_", "cv_intercept_path_", "cv_deviance_", "cv_gap_", "cv_n_iter_",
    "cv_null_deviance_", "cv_deviance_explained_path_", "cv_deviance_explained_", "n_lambdas_fitted_",
    "feature_group_sizes_",
    "feature_group_names_", "neuron_names_", "n_features_in_", "coef_", "intercept_", "feature_names_in_",
]  # fmt: skip


def assert_same(a, b):
    """All fitted attributes are equal, their types too."""
    for name in FITTED:
        assert hasattr(a, name) == hasattr(b, name), name
        one, other = getattr(a, name, None), getattr(b, name, None)
        assert type(one) is type(other), name
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype, name
        np.testing.assert_array_equal(one, other, err_msg=name)


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    """A fitted model that no test changes."""
    return clone(MODELS[request.param]).fit(X, Y)


@pytest.fixture(scope="module")
def stored(model, tmp_path_factory):
    """The model and what comes back from its file, which no test changes."""
    path = tmp_path_factory.mktemp("models") / "model.nc"
    model.save(path)
    return model, popglm.load(path)


class TestFile:
    @pytest.mark.thorough(keep=3)
    def test_everything_fitted_comes_back(self, stored):
        model, again = stored
        assert type(again) is type(model)
        assert_same(model, again)
        if model.coef_path_ is not None:
            assert np.array_equal(model.predict(X), again.predict(X))
            pd.testing.assert_frame_equal(model.evaluate(X, Y), again.evaluate(X, Y))

    def test_parameters_come_back(self, stored):
        model, again = stored
        for name, value in model.get_params().items():
            loaded = again.get_params()[name]
            if name == "cv" and not isinstance(value, int):
                assert loaded == value.get_n_splits()
            elif isinstance(value, np.ndarray | pd.Index):
                np.testing.assert_array_equal(loaded, value)
            else:
                assert loaded == value, name

    def test_selects_again(self, stored):
        model, again = map(copy, stored)
        if isinstance(model, GLMCV):
            for rule in ({"se_fraction": 1.0}, {"min_lambda": 0.05}, {}):
                assert_same(model.select(**rule), again.select(**rule))
        else:
            assert_same(model.select(X, Y), again.select(X, Y))

    def test_held_out_predictions_need_the_rows(self, stored):
        model, again = stored
        if not isinstance(model, GLMCV):
            pytest.skip("a GLM has no folds")
        assert np.array_equal(model.predict_held_out(), again.predict_held_out(X))
        with pytest.raises(ValueError, match="X is needed"):
            again.predict_held_out()

    def test_fits_again(self, stored):
        model, again = stored[0], copy(stored[1])
        again.fit(X, Y)
        np.testing.assert_allclose(again.lambdas_, model.lambdas_, rtol=1e-5)

    def test_summary_and_sizes(self, stored):
        model, again = stored
        assert again.to_xarray().identical(model.to_xarray())
        if isinstance(model, GLMCV):
            pd.testing.assert_series_equal(again.summary(), model.summary())

    def test_one_neuron(self, tmp_path):
        model = GLM(n_lambdas=3).fit(X, Y["cell a"])
        model.save(tmp_path / "one.nc")
        again = popglm.load(tmp_path / "one.nc")
        assert_same(model, again)
        assert again.predict(X).shape == (N,)

    def test_folds_as_a_list_of_rows(self, tmp_path):
        rows = np.arange(N)
        splits = [(rows[50:], rows[:50]), (rows[:150], rows[150:])]
        GLMCV(cv=splits, n_lambdas=2).fit(X, Y).save(tmp_path / "folds.nc")
        assert popglm.load(tmp_path / "folds.nc").cv == 2

    @pytest.mark.thorough(keep=3)
    def test_is_plain_netcdf(self, model, tmp_path):
        model.save(str(tmp_path / "model.nc"))
        with xr.open_dataset(tmp_path / "model.nc", engine="h5netcdf") as data:
            assert data["gap"].dims == ("strength", "neuron")
            assert data["neuron"].to_numpy().tolist() == ["cell a", "cell b", "cell c"]

    def test_another_netcdf_file(self, tmp_path):
        xr.Dataset({"a": ("b", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
        with pytest.raises(ValueError, match=r"other\.nc holds no popglm model"):
            popglm.load(tmp_path / "other.nc")

    def test_a_file_of_another_kind(self, tmp_path):
        (tmp_path / "notes.txt").write_text("no model here")
        with pytest.raises(ValueError, match=r"notes\.txt holds no popglm model"):
            popglm.load(tmp_path / "notes.txt")

    def test_no_file(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            popglm.load(tmp_path / "nothing.nc")

    def test_unfitted(self, tmp_path):
        with pytest.raises(NotFittedError):
            GLM().save(tmp_path / "model.nc")


class TestDataset:
    def test_dimensions(self):
        model = clone(MODELS["GLMCV"]).fit(X, Y)
        data = model.to_xarray()
        assert dict(data.sizes) == {"strength": 4, "neuron": 3, "feature": 5, "fold": 3, "sample": N}
        assert data["coef"].dims == ("neuron", "feature")
        assert data["cv_coef_path"].dims == ("fold", "strength", "neuron", "feature")
        np.testing.assert_array_equal(data["coef"].sel(neuron="cell b"), model.coef_[1])
        np.testing.assert_array_equal(data["lambdas"], model.lambdas_)
        np.testing.assert_array_equal(data["fold"], model.fold_)

    def test_features_are_found_by_group(self):
        data = clone(MODELS["GLM"]).fit(X, Y).to_xarray()
        assert data["group"].to_numpy().tolist() == ["position"] * 3 + ["speed"] * 2
        assert data["coef"].sel(feature=data["group"] == "speed").shape == (3, 2)

    def test_unfitted(self):
        with pytest.raises(NotFittedError):
            GLMCV().to_xarray()


class TestPickleAndClone:
    def test_pickle(self, model):
        again = pickle.loads(pickle.dumps(model))
        assert_same(model, again)
        if model.coef_path_ is not None:
            assert np.array_equal(model.predict(X), again.predict(X))

    def test_pickle_leaves_the_training_data_behind(self):
        model = clone(MODELS["GLMCV"]).fit(X, Y)
        again = pickle.loads(pickle.dumps(model))
        with pytest.raises(ValueError, match="X is needed"):
            again.predict_held_out()
        assert np.isfinite(model.predict_held_out()).all()

    @pytest.mark.parametrize("name", MODELS)
    def test_clone(self, name):
        again = clone(MODELS[name])
        assert str(again.get_params()) == str(MODELS[name].get_params())
        assert not hasattr(again, "coef_path_")
