"""The examples on the recordings they are made for: better out of sample than plain rate maps."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import d2_tweedie_score

from popglm import maze_design
from popglm.analysis.recipe import parse_recipe
from popglm.analysis.running import grid_of, session_of
from popglm.maze_nwb import write_maze_nwb

ROOT = Path(__file__).parents[1]
RECORDINGS = ROOT.parent / "shared" / "data"


@pytest.fixture
def example(monkeypatch):
    """Import an example by name, the way that Python runs a script: its folder comes first."""
    monkeypatch.syspath_prepend(ROOT / "examples")

    def load(name):
        spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.modules.pop("rate_map", None)


def recording(name):
    path = RECORDINGS / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"the recording {name}.npz is not in ../shared/data")
    return path


def some_units(path, every, folder):
    """The recording with every so-manieth unit: a fit takes as long as it has units."""
    arrays = dict(np.load(path))
    arrays["counts"] = arrays["counts"][:, ::every]
    np.savez(folder / path.name, **arrays)
    return folder / path.name


def test_place_cells_on_the_linear_track(example, capsys, tmp_path):
    path = some_units(recording("ca1_lineartrack_nelpy"), 5, tmp_path)
    table = example("ca1_linear_track").main(path)
    gain = table["GLM"] - table["rate map"]
    # a 10 x 10 map of the camera image, as published with the data: median 0.076, best unit 0.45
    assert table["GLM"].median() > max(0.076, table["rate map"].median()) + 0.03
    assert table["GLM"].max() > max(0.45, table["rate map"].max()) + 0.1
    assert (gain > 0).mean() > 0.8
    assert f"gain: median {gain.median():+.3f}" in capsys.readouterr().out


def test_reaching(example, capsys, tmp_path):
    reach, data = example("s1_reach"), np.load(recording("s1_reach"))
    table = reach.main(some_units(recording("s1_reach"), 9, tmp_path))
    gain = table["GLM"] - table["rate map"]
    # 8 directions x 3 speeds, all units, as published with the data
    counts, (vx, vy) = data["counts"].astype(float), data["hand_vel"].T
    bins = reach.direction_and_speed_bins(vx, vy, np.hypot(vx, vy))
    predicted = reach.rate_map_held_out(bins, counts, reach.contiguous_blocks(len(counts)) % reach.N_FOLDS, prior=1)
    explained = reach.deviance_explained(counts, predicted)
    np.testing.assert_allclose(table["rate map"], explained[::9], rtol=1e-9)
    assert np.median(explained) == pytest.approx(0.034, abs=5e-4)
    assert np.quantile(explained, 0.9) == pytest.approx(0.176, abs=5e-4)
    assert table["GLM"].median() > table["rate map"].median() + 0.04
    assert table["GLM"].quantile(0.9) > table["rate map"].quantile(0.9) + 0.04
    assert (gain > 0).all()
    assert f"gain: median {gain.median():+.3f}" in capsys.readouterr().out


def test_the_rate_map_predicts_a_fold_from_the_others(example):
    rate_map = example("rate_map")
    blocks = rate_map.contiguous_blocks(1000)
    assert list(np.unique(blocks)) == list(range(50))
    assert (np.diff(blocks) >= 0).all()
    assert set(np.bincount(blocks)) == {20}

    rng = np.random.default_rng(0)
    bins, fold = rng.integers(0, 4, 1000), blocks % 5
    bins[fold == 2] = 9  # a bin that the training samples of fold 2 never saw
    counts = rng.poisson(1.0 + bins[:, None] * [0.5, 0.0]).astype(float)
    predicted = rate_map.rate_map_held_out(bins, counts, fold, prior=3)
    train = fold != 0
    there = train & (bins == 1)
    expected = (counts[there].sum(axis=0) + 3 * counts[train].mean(axis=0)) / (there.sum() + 3)
    np.testing.assert_allclose(predicted[(fold == 0) & (bins == 1)][0], expected)
    np.testing.assert_allclose(predicted[fold == 2][0], counts[fold != 2].mean(axis=0))
    np.testing.assert_allclose(
        rate_map.deviance_explained(counts, predicted),
        [d2_tweedie_score(counts[:, j], predicted[:, j], power=1) for j in (0, 1)],
    )


def test_the_papers_model_from_a_file_is_that_of_the_session_written(example, tmp_path):
    pytest.importorskip("pynwb", reason="pynwb is an optional extra: pip install 'popglm[nwb]'")
    session = write_maze_nwb(tmp_path / "session.nwb", n_samples=1_500, n_neurons=9, seed=1)
    tseng = example("tseng_2022")
    data, behavior = tseng.read(tmp_path / "session.nwb"), session.behavior
    assert data.sizes == {"time": 1_500, "neuron": 9}
    np.testing.assert_array_equal(data["trial"], behavior["trial"])
    for name in tseng.VARIABLES:
        rows = behavior["trial"] > 0 if name == "prevCorr" else slice(None)
        np.testing.assert_allclose(
            data[name].values[rows].astype(float), behavior[name].to_numpy(float)[rows], rtol=1e-12, err_msg=name
        )
    # the last plane's frames come after those of the clock: they are of the volume before
    third = [name.startswith("plane_3") for name in data["neuron"].values]
    written = session.activity.to_numpy()
    np.testing.assert_allclose(data["activity"].values[:, ~np.array(third)], written[:, : -sum(third)], rtol=1e-6)
    np.testing.assert_allclose(data["activity"].values[1:, third], written[:-1, -sum(third) :], rtol=1e-6)
    X = tseng.design().fit_transform(data)
    expected = maze_design().fit_transform(behavior)
    assert X.shape == (1_500, 318)
    assert list(X.columns) == list(expected.columns)
    same = [group for group in dict.fromkeys(X.columns.get_level_values(0)) if "prevCorr" not in group]
    np.testing.assert_allclose(X[same], expected[same], atol=1e-5)
    recipe = parse_recipe((ROOT / "examples" / "tseng_2022.toml").read_text(), tmp_path / "recipe.toml")
    by_recipe = grid_of(recipe, session_of(recipe))
    xr.testing.assert_allclose(by_recipe[list(tseng.VARIABLES)], data[list(tseng.VARIABLES)])
    np.testing.assert_allclose(by_recipe["activity"], data["activity"], rtol=1e-6)
    assert [term.name for term in recipe.design().terms] == [term.name for term in tseng.design().terms]
