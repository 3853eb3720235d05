"""Files are whole or not there: what stood before stays, whatever happens, and damage is told at once."""

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import popglm as pg
from popglm import GLM, GLMCV
from popglm.estimators.storage import missing_parts

RNG = np.random.default_rng(3)
X = RNG.standard_normal((60, 2))
Y = RNG.poisson(1.0, (60, 2))
MODEL = GLM(lambdas=[0.1]).fit(X, Y)


@pytest.fixture
def path(tmp_path):
    """A file that holds a model already."""
    GLM(lambdas=[0.5]).fit(X, Y).save(tmp_path / "model.nc")
    return tmp_path / "model.nc"


class TestSave:
    @pytest.mark.parametrize(
        "error",
        [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("HDF5: No space left"), KeyboardInterrupt()],
    )
    def test_what_was_there_stays_whole(self, path, monkeypatch, error):
        before = path.read_bytes()

        def half(target, content):
            with open(target, "wb") as file:
                file.write(content[:100])
            raise error

        monkeypatch.setattr(Path, "write_bytes", half)
        if isinstance(error, KeyboardInterrupt):
            with pytest.raises(KeyboardInterrupt):
                MODEL.save(path)
        else:
            with pytest.raises(
                OSError, match=r"the disk is full: the file takes about .* MB, and .* MB are free.*model"
            ):
                MODEL.save(path)
        assert path.read_bytes() == before
        assert os.listdir(path.parent) == ["model.nc"]

    def test_nothing_but_regular_files_is_replaced(self, tmp_path):
        with pytest.raises(ValueError, match=r"path=.* is a folder"):
            MODEL.save(tmp_path)
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match=r"path=.* is no regular file"):
            MODEL.save(tmp_path / "pipe")
        assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
        with pytest.raises(ValueError, match="holds no popglm model: it is no regular file"):
            pg.load(tmp_path / "pipe")

    def test_a_link_stays_a_link(self, path):
        link = path.parent / "link.nc"
        link.symlink_to(path)
        MODEL.save(link)
        assert link.is_symlink()
        np.testing.assert_array_equal(pg.load(path).lambdas_, [0.1])

    def test_two_at_once_end_with_one_of_the_two(self, path, monkeypatch):
        both = threading.Barrier(2)
        write = Path.write_bytes

        def together(self, content):
            both.wait(timeout=30)
            write(self, content)
            both.wait(timeout=30)

        monkeypatch.setattr(Path, "write_bytes", together)
        models = [GLM(lambdas=[value]).fit(X, Y) for value in (0.2, 0.3)]
        threads = [threading.Thread(target=model.save, args=(path,)) for model in models]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert pg.load(path).lambdas_.tolist() in ([0.2], [0.3])
        assert os.listdir(path.parent) == ["model.nc"]

    @pytest.mark.thorough(keep=1)
    @pytest.mark.parametrize(
        "lambdas", [pd.Series([0.1, 0.01]), xr.DataArray([0.1, 0.01]), (0.1, 0.01), pd.array([0.1, 0.01], "Float64")]
    )
    def test_arguments_of_any_kind_come_back(self, tmp_path, lambdas):
        model = GLMCV(lambdas=lambdas, cv=np.int64(3), feature_groups=pd.Series(["a", "b"])).fit(X, Y)
        model.save(tmp_path / "m.nc")
        again = pg.load(tmp_path / "m.nc")
        assert (again.lambdas, again.cv, again.feature_groups) == ([0.1, 0.01], 3, ["a", "b"])
        again.fit(X, Y)

    def test_the_rule_of_selection_comes_back(self, tmp_path):
        model = GLMCV(n_lambdas=3, cv=3).fit(X, Y).select(se_fraction=1.0)
        model.save(tmp_path / "m.nc")
        trial = np.arange(60) // 6
        again = pg.load(tmp_path / "m.nc")
        xr.testing.assert_equal(
            pg.significance(again, X, Y, trial=trial, n_shifts=5), pg.significance(model, X, Y, trial=trial, n_shifts=5)
        )


class TestLoad:
    @pytest.mark.parametrize("length", [0, 1, 100, 3000])
    def test_a_file_cut_short(self, path, length):
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(ValueError, match=r"model\.nc holds no popglm model that can be read"):
            pg.load(path)

    @pytest.mark.thorough(keep=2)
    @pytest.mark.parametrize("array", ["gap", "coef_path", "lambdas", "null_fitted", "lambda_index"])
    def test_an_array_is_missing(self, path, array):
        data = xr.load_dataset(path, engine="h5netcdf").drop_vars(array)
        data.to_netcdf(path, engine="h5netcdf")
        with pytest.raises(ValueError, match=f"lacks '{array}'"):
            pg.load(path)

    @pytest.mark.thorough(keep=1)
    @pytest.mark.parametrize("kind", ["path", "selected", "cross-validated", "folds alone"])
    def test_any_part_is_missing(self, path, kind):
        """Whatever a file was written with: nothing comes back without it in silence."""
        model = {
            "path": lambda: GLM(n_lambdas=3).fit(X, Y),
            "selected": lambda: GLM(n_lambdas=3).fit(X, Y).select(X, Y),
            "cross-validated": lambda: GLMCV(n_lambdas=3, cv=3).fit(X, Y),
            "folds alone": lambda: GLMCV(n_lambdas=3, cv=3, refit=False).fit(X, Y),
        }[kind]()
        model.save(path)
        data = xr.load_dataset(path, engine="h5netcdf")
        about = json.loads(data.attrs["popglm_model"])
        of_folds = isinstance(model, GLMCV)
        assert missing_parts(data, about, of_folds) == []
        for array in data.variables:
            assert missing_parts(data.drop_vars(array), about, of_folds) == [array]
        for name in set(about) - {"arrays", "class"}:
            assert missing_parts(data, {key: about[key] for key in about if key != name}, of_folds) == [name]

    @pytest.mark.thorough(keep=1)
    @pytest.mark.parametrize("array", ["loss_path", "cv_gap"])
    def test_files_of_earlier_revisions_had_these_too(self, path, array):
        GLMCV(n_lambdas=3, cv=3).fit(X, Y).save(path)
        data = xr.load_dataset(path, engine="h5netcdf")
        about = json.loads(data.attrs["popglm_model"])
        about.pop("arrays")
        earlier = data.assign_attrs(popglm_model=json.dumps(about))
        earlier.drop_vars("n_lambdas_fitted").to_netcdf(path, engine="h5netcdf")
        assert pg.load(path).n_lambdas_fitted_.tolist() == [3] * Y.shape[1]
        earlier.drop_vars(array).to_netcdf(path, engine="h5netcdf")
        with pytest.raises(ValueError, match=f"lacks '{array}'"):
            pg.load(path)

    def test_a_damaged_description(self, path):
        data = xr.load_dataset(path, engine="h5netcdf")
        data.attrs["popglm_model"] = '{"class": "SVM"}'
        data.to_netcdf(path, engine="h5netcdf")
        with pytest.raises(ValueError, match="damaged popglm model"):
            pg.load(path)

    def test_a_file_of_an_earlier_revision(self, path):
        data = xr.load_dataset(path, engine="h5netcdf")
        about = json.loads(data.attrs["popglm_model"])
        for name in ("feature_names", "fitted_with_offset", "rule", "arrays"):
            about.pop(name)
        data.attrs["popglm_model"] = json.dumps(about)
        data.to_netcdf(path, engine="h5netcdf")
        assert pg.load(path).predict(X).shape == Y.shape


def test_a_killed_save_leaves_the_older_file(path):
    before = path.read_bytes()
    script = """
import os, sys
from pathlib import Path
import numpy as np
from popglm import GLM
X = np.random.default_rng(0).standard_normal((60, 2))
model = GLM(lambdas=[0.1]).fit(X, np.ones((60, 2)) * (X > 0))
write = Path.write_bytes
def killed(self, content):
    write(self, content[: len(content) // 2])
    os._exit(9)
Path.write_bytes = killed
model.save(sys.argv[1])
"""
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 9
    assert path.read_bytes() == before
    np.testing.assert_array_equal(pg.load(path).lambdas_, [0.5])


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize(
    "labels",
    [
        pd.date_range("2024-03-01", periods=60, freq="20ms"),
        pd.RangeIndex(100, 160),
        pd.to_timedelta(np.arange(60) * 50, "ms"),
        pd.Index([f"row {k}" for k in range(60)]),
        pd.MultiIndex.from_product([["a", "b"], range(30)]),
    ],
    ids=["dates", "range", "durations", "text", "levels"],
)
def test_labels_of_rows_come_back(tmp_path, labels):
    activity = pd.DataFrame(Y, labels, columns=["a", "b"])
    model = GLMCV(lambdas=[0.1], cv=3).fit(pd.DataFrame(X, labels), activity)
    model.save(tmp_path / "m.nc")
    again = pg.load(tmp_path / "m.nc")
    shuffled = RNG.permutation(60)
    expected = pg.breakdown(model, X, Y)
    xr.testing.assert_equal(pg.breakdown(again, pd.DataFrame(X, labels), activity.iloc[shuffled]), expected)
    with pytest.raises(ValueError, match="different row labels"):
        pg.breakdown(again, X, activity.set_axis(pd.Index([f"other {k}" for k in range(60)])))
