"""Folders of Kilosort and phy, written here in the shapes that these programs write."""

import time
import warnings

import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint

from popglm.recording import read_kilosort
from popglm.warnings import PopglmWarning

RATE = 30_000.0


def write(
    folder, samples, clusters, params=f"dat_path = 'a.dat'\nn_channels_dat = 385\nsample_rate = {RATE}\n", **tables
):
    folder.mkdir(exist_ok=True)
    np.save(folder / "spike_times.npy", samples)
    np.save(folder / "spike_clusters.npy", clusters)
    if params is not None:
        (folder / "params.py").write_text(params)
    for name, table in tables.items():
        table.to_csv(folder / f"cluster_{name}.tsv", sep="\t", index=False)
    return folder


@pytest.fixture
def spikes():
    rng = np.random.default_rng(0)
    return np.sort(rng.integers(0, 10**6, 2000)), rng.choice([0, 3, 7, 900], 2000).astype("int32")


def trains(units):
    stops = np.cumsum(units.n_spikes.values)
    return {
        n: units.spike_time.values[b - k : b]
        for n, b, k in zip(units.neuron.values, stops, units.n_spikes.values, strict=True)
    }


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)], ids=["flat", "column, as MATLAB writes it"])
@pytest.mark.parametrize("dtype", ["int64", "uint64", "float64"])
def test_round_trip(tmp_path, spikes, shape, dtype):
    samples, clusters = spikes
    write(tmp_path, samples.astype(dtype).reshape(shape), clusters.reshape(shape))
    found = trains(read_kilosort(tmp_path).activity["spikes"])
    assert list(found) == [0, 3, 7, 900]
    for unit, times in found.items():
        np.testing.assert_array_equal(times, samples[clusters == unit] / RATE)


def test_ids_too_far_apart_for_a_radix_sort(tmp_path, spikes):
    samples, clusters = spikes
    far = clusters.astype("int64") * 1000 - 5
    found = trains(read_kilosort(write(tmp_path, samples, far)).activity["spikes"])
    assert list(found) == [-5, 2995, 6995, 899_995]
    np.testing.assert_array_equal(found[2995], samples[clusters == 3] / RATE)


def test_spikes_out_of_order_are_sorted_within_their_unit(tmp_path):
    write(tmp_path, np.array([900, 300, 600, 100]), np.array([1, 1, 2, 1]))
    found = trains(read_kilosort(tmp_path).activity["spikes"])
    np.testing.assert_array_equal(found[1], np.array([100, 300, 900]) / RATE)


def test_templates_where_nobody_has_curated(tmp_path, spikes):
    write(tmp_path, *spikes)
    (tmp_path / "spike_clusters.npy").rename(tmp_path / "spike_templates.npy")
    assert read_kilosort(tmp_path).activity["spikes"].n_spikes.values.sum() == 2000


def test_tables(tmp_path):
    info = pd.DataFrame(
        {"cluster_id": [2, 5, 9], "depth": [20.0, 50.0, 90.0], "n_spikes": [1, 0, 2], "group": ["good", "mua", None]}
    )
    label = pd.DataFrame({"cluster_id": [2, 9, 40], "KSLabel": ["good", "mua", "good"]})
    write(tmp_path, np.array([10, 20, 30]), np.array([9, 2, 9]), info=info, KSLabel=label)
    units = read_kilosort(tmp_path).activity["spikes"]
    # 5 is listed by cluster_info without a spike; 40 was merged away, and only Kilosort's own table has it
    assert units.neuron.values.tolist() == [2, 5, 9]
    assert units.n_spikes.values.tolist() == [1, 0, 2]
    assert units.depth.values.tolist() == [20, 50, 90]
    assert units.KSLabel.values[[0, 2]].tolist() == ["good", "mua"]
    assert pd.isna(units.group.values[2])
    assert pd.isna(units.KSLabel.values[1])


def test_old_phy_writes_tabs_into_csv_and_calls_the_column_id(tmp_path):
    write(tmp_path, np.array([10, 20]), np.array([1, 0]))
    (tmp_path / "cluster_groups.csv").write_text("cluster_id\tgroup\n0\tgood\n1\tnoise\n")
    (tmp_path / "cluster_info.tsv").write_text("id\tch\n0\t7\n1\t8\n")
    units = read_kilosort(tmp_path).activity["spikes"]
    assert units.group.values.tolist() == ["good", "noise"]
    assert units.ch.values.tolist() == [7, 8]


def test_params_is_never_run(tmp_path):
    marker = tmp_path / "ran"
    params = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\nsample_rate = 20000\n"
    write(tmp_path, np.array([20_000]), np.array([0]), params)
    assert read_kilosort(tmp_path).activity["spikes"].spike_time.values.tolist() == [1.0]
    assert not marker.exists()


def test_params_with_a_path_of_windows(tmp_path):
    write(tmp_path, np.array([20_000]), np.array([0]), "dat_path = 'C:\\Users\\me\\a.dat'\nsample_rate = 20000.\n")
    assert read_kilosort(tmp_path).activity["spikes"].spike_time.values.tolist() == [1.0]
    # as editors of Windows save it
    (tmp_path / "params.py").write_text("sample_rate = 20000.\n", encoding="utf-8-sig")
    assert read_kilosort(tmp_path).activity["spikes"].spike_time.values.tolist() == [1.0]


@pytest.mark.parametrize(
    ("params", "named"),
    [
        (None, "params.py is missing"),
        ("n_channels_dat = 3", "assigns no sample_rate"),
        ("sample_rate = float(open('x').read())", "must be a number"),
        ("sample_rate = '30000'", "must be a number"),
        ("sample_rate = 0", "above 0"),
        ("sample_rate = float('nan')", "must be a number"),
    ],
)
def test_rates_that_are_not_known(tmp_path, params, named):
    write(tmp_path, np.array([1]), np.array([0]), params)
    assert_complaint(named, read_kilosort, tmp_path)
    assert read_kilosort(tmp_path, rate=2).activity["spikes"].spike_time.values.tolist() == [0.5]


def test_times_in_seconds(tmp_path):
    write(tmp_path, np.array([0.25, 0.5]), np.array([0, 1]))
    assert_complaint("if these are seconds, give rate=1", read_kilosort, tmp_path)
    assert read_kilosort(tmp_path, rate=1).activity["spikes"].spike_time.values.tolist() == [0.25, 0.5]


def test_damaged_files(tmp_path, spikes):
    samples, clusters = spikes
    write(tmp_path / "short", samples[:-3], clusters)
    assert_complaint("has 1,997 spikes, but spike_clusters.npy has 2,000", read_kilosort, tmp_path / "short")
    cut = write(tmp_path / "cut", samples, clusters) / "spike_times.npy"
    cut.write_bytes(cut.read_bytes()[:-100])
    assert_complaint("spike_times.npy is cut short", read_kilosort, tmp_path / "cut")
    cut.write_bytes(b"")
    assert_complaint("spike_times.npy is empty", read_kilosort, tmp_path / "cut")
    cut.write_bytes(b"hello, this is a text and no array")
    assert_complaint("is not a file of NumPy", read_kilosort, tmp_path / "cut")
    np.save(cut, np.array([{}, 3], dtype=object))
    assert_complaint("pickled objects", read_kilosort, tmp_path / "cut")
    np.save(cut, np.zeros((3, 2)))
    assert_complaint("one number per spike", read_kilosort, tmp_path / "cut")
    write(tmp_path / "halves", samples, clusters + 0.5)
    assert_complaint("whole numbers", read_kilosort, tmp_path / "halves")


def test_damaged_tables(tmp_path):
    write(tmp_path, np.array([1]), np.array([0]))
    path = tmp_path / "cluster_group.tsv"
    for text, named in (
        ("", "is empty"),
        ("a\tb\n1\t2\n", "needs a column cluster_id"),
        ("cluster_id\tg\n1\ta\n1\tb\n", "each cluster once"),
    ):
        path.write_text(text)
        assert_complaint(named, read_kilosort, tmp_path)


def test_missing_files(tmp_path, spikes):
    write(tmp_path / "kilosort4", *spikes)
    with pytest.raises(FileNotFoundError, match="give one of the folders in it: kilosort4"):
        read_kilosort(tmp_path)
    (tmp_path / "kilosort4" / "spike_clusters.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"neither spike_clusters\.npy nor spike_templates\.npy"):
        read_kilosort(tmp_path / "kilosort4")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read_kilosort(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="is a file"):
        read_kilosort(tmp_path / "kilosort4" / "spike_times.npy")


def test_a_table_of_another_time_is_named(tmp_path):
    info = pd.DataFrame({"cluster_id": [0, 1], "n_spikes": [5, 1]})
    write(tmp_path, np.array([1, 2, 3]), np.array([0, 0, 1]), info=info)
    with pytest.warns(PopglmWarning, match="counts 5 spikes of unit 0, but the spikes give 2"):
        read_kilosort(tmp_path)
    info["n_spikes"] = [2, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_kilosort(write(tmp_path, np.array([1, 2, 3]), np.array([0, 0, 1]), info=info))


def test_no_spike_at_all(tmp_path):
    write(tmp_path, np.zeros(0, "int64"), np.zeros(0, "int32"), info=pd.DataFrame({"cluster_id": [4]}))
    assert read_kilosort(tmp_path).activity["spikes"].n_spikes.values.tolist() == [0]


@pytest.mark.thorough
def test_ten_million_spikes_take_seconds(tmp_path):
    rng = np.random.default_rng(1)
    n = 10_000_000
    samples = np.cumsum(rng.integers(1, 20, n))
    write(tmp_path, samples, rng.integers(0, 500, n).astype("int32"))
    start = time.process_time()
    units = read_kilosort(tmp_path).activity["spikes"]
    taken = time.process_time() - start
    assert units.n_spikes.values.sum() == n
    assert taken < 10, f"{taken:.1f} s"
