"""One function for every format."""

import numpy as np
import pytest
from complaints import assert_complaint

import popglm as pg
from popglm.recording.reading import format_of
from popglm.recording.suite2p import KINDS


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("session.nwb", "nwb"),
        ("Session.NWB", "nwb"),
        ("data.mat", "matlab"),
        ("a.npz", "arrays"),
        ("a.csv", "table"),
        ("a.csv.gz", "table"),
        ("a.parquet", "table"),
        ("cnmf.hdf5", "caiman"),
        ("suite2p/plane0/F.npy", "suite2p"),
        ("plane3/spks.npy", "suite2p"),
        ("combined/Fneu_chan2.npy", "suite2p"),
        ("sorted/spike_times.npy", "kilosort"),
        ("alf/probe00/spikes.times.npy", "alf"),
        ("session.zarr/.zgroup", "nwb"),
    ],
)
def test_the_format_is_told_by_the_name_or_by_what_a_folder_holds(name, kind, tmp_path):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    asked = tmp_path / name.split("/")[0]
    assert format_of(asked) == kind


def test_urls_are_told_by_their_ending():
    assert format_of("https://example.org/a/session.nwb?version=1") == "nwb"
    with pytest.raises(ValueError, match="is of no known format by its name"):
        format_of("https://example.org/api/1234")


def test_what_is_not_there_or_not_known_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        pg.read(tmp_path / "none.nwb")
    (tmp_path / "a.docx").touch()
    with pytest.raises(ValueError, match="is of no known format by its name; give format, one of nwb, suite2p"):
        pg.read(tmp_path / "a.docx")
    with pytest.raises(ValueError, match=r"format must be one of .*; found 'word'"):
        pg.read(tmp_path / "a.docx", "word")


def test_a_folder_of_several_recordings_is_taken_for_none_of_them(tmp_path):
    (tmp_path / "plane0").mkdir()
    for name in ("trials.csv", "session_trials.mat", "notes.docx", "plane0/F.npy"):
        (tmp_path / name).touch()
    (tmp_path / "plane0").rename(tmp_path / "imaging")
    with pytest.raises(ValueError, match=r"is no recording as a whole; .*: imaging, session_trials\.mat, trials\.csv$"):
        pg.read(tmp_path)


@pytest.mark.parametrize("name", ["alf/_ibl_trials.table.pqt", "alf/trials.intervals.npy", "trials.goCue_times.npy"])
def test_trials_as_alf_calls_them_are_alf(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert format_of(tmp_path) == "alf"


@pytest.mark.parametrize("name", ["_ibl_wheel.timestamps.npy", "alf/licks.times.npy"])
def test_behaviour_alone_as_alf_calls_it_is_alf(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert format_of(tmp_path) == "alf"


@pytest.mark.parametrize("trace", list(KINDS))
@pytest.mark.parametrize("folder", ["plane0", "suite2p/plane0", "plane1"])
def test_any_trace_tells_suite2p(trace, folder, tmp_path):
    """What `read_suite2p` reads without being told the format, whichever of the traces is there, and without ROIs."""
    plane = tmp_path / folder
    plane.mkdir(parents=True)
    np.save(plane / f"{trace}.npy", np.ones((3, 40)))
    np.save(plane / "ops.npy", {"fs": 10.0}, allow_pickle=True)
    for asked in (tmp_path, plane.parent, plane):
        assert pg.read(asked).activity[trace].shape == (40, 3)


def test_options_go_to_the_reader(tmp_path):
    np.savez(tmp_path / "a.npz", F=np.ones((5, 2)))
    session = pg.read(tmp_path / "a.npz", activity="F", rate=5)
    assert session.activity["F"].shape == (5, 2)


@pytest.mark.parametrize("part", ["activity", "signals", "events", "intervals", "attrs"])
@pytest.mark.parametrize("given", [[1], None, "dff"])
def test_parts_that_are_no_mapping_are_told(part, given):
    assert_complaint(f"Session: {part} must be a mapping", lambda value: pg.Session(**{part: value}), given)
