"""NWB files of HDF5 and Zarr, on a disk and behind a URL: what is read of them, and what is said of bad ones."""

import gc
import shutil
import threading
import warnings
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

pytest.importorskip("pynwb", reason="pynwb is an optional extra: pip install 'popglm[nwb]'")
import h5py
from nwb_files import caiman, harvey, new_file, steinmetz, suite2p, virmen, write
from pynwb import NWBHDF5IO

import popglm as pg
from popglm.recording.hdf5_rows import Hdf5Rows


def equal(found, expected):
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def same(one, other):
    """Whether two sessions hold the same."""
    for parts in ("activity", "signals", "events"):
        assert list(getattr(one, parts)) == list(getattr(other, parts))
        for name, part in getattr(one, parts).items():
            assert part.equals(getattr(other, parts)[name]), name
    assert list(one.intervals) == list(other.intervals)
    for name, table in one.intervals.items():
        assert table.equals(other.intervals[name]), name


@pytest.fixture
def reads(monkeypatch):
    """Numbers that are read of each array of HDF5, by h5py or past it."""
    found: dict[str, int] = {}
    whole, rows = h5py.Dataset.__getitem__, Hdf5Rows._read

    def counted(self, key, **options):
        values = whole(self, key, **options)
        found[self.name] = found.get(self.name, 0) + np.size(values)
        return values

    def counted_rows(self, first, stop):
        values = rows(self, first, stop)
        found[self.dataset.name] = found.get(self.dataset.name, 0) + values.size
        return values

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    monkeypatch.setattr(Hdf5Rows, "_read", counted_rows)
    return found


def test_no_series_and_no_long_column_is_read_before_it_is_asked_for(tmp_path, reads):
    files = [harvey(tmp_path).path, steinmetz(tmp_path).path]
    reads.clear()
    sessions = [pg.read_nwb(path) for path in files]
    list(map(repr, sessions))
    untouched = ("/data", "/timestamps", "spike_times", "spike_amps", "pixel_mask", "pixel_mask_index")
    # two codes of an interval series, and its four times
    touched = {name: n for name, n in reads.items() if name.endswith(untouched) and "wheel_moves" not in name}
    assert touched == {}
    assert reads["/units/spike_times_index"] == 4

    activity = sessions[0].activity["deconvolved_activity_plane_0"]
    assert activity[5:9].values.shape == (4, 3)
    assert reads["/processing/ophys/deconvolved_activity_plane_0/data"] == 12
    units = sessions[1].activity["units"]
    assert units.spike_time[2:4].values.shape == (2,)
    assert reads["/units/spike_times"] == 2
    assert "/units/spike_amps" not in reads
    wheel = sessions[1].signals["wheel_position"]
    assert wheel[:3].values.shape == (3,)
    assert reads["/acquisition/wheel_position/data"] == 3


def test_a_file_stays_open_as_long_as_somebody_reads_from_it(tmp_path):
    written = virmen(tmp_path)
    dff = pg.read_nwb(written.path).activity["dff"]
    gc.collect()
    assert dff.values.shape == (30, 2)
    with pg.read_nwb(written.path) as session:
        inside = session.activity["dff"]
        kept = inside[:2].values
    equal(kept, dff[:2])
    with pytest.raises((ValueError, OSError)):
        inside[2:4].load()
    session.close()
    # closed files can be written to
    del dff
    gc.collect()
    with h5py.File(written.path, "a") as file:
        assert "units" not in file


def test_deep_copies_of_what_is_in_a_file(tmp_path):
    session = pg.read_nwb(caiman(tmp_path).path)
    found = session.activity["DfOverF/RoiResponseSeries"]
    equal(found.copy(deep=True), found)


@pytest.mark.parametrize("make", [harvey, steinmetz, virmen, suite2p])
def test_folders_of_zarr(tmp_path, make):
    pytest.importorskip("hdmf_zarr", reason="hdmf-zarr is an optional extra: pip install 'popglm[nwb]'")
    from hdmf_zarr import NWBZarrIO

    path, folder = make(tmp_path).path, tmp_path / "session.nwb.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with NWBHDF5IO(path, "r") as hdf5, NWBZarrIO(str(folder), mode="w") as zarr:
            zarr.export(src_io=hdf5, write_args={"link_data": False})
    with pg.read_nwb(folder) as zarr, pg.read_nwb(path) as hdf5:
        same(zarr, hdf5)


class Ranges(SimpleHTTPRequestHandler):
    """Files of a folder, in the parts that are asked for."""

    protocol_version = "HTTP/1.1"
    gives_parts = True

    def do_GET(self):
        path = self.translate_path(self.path)
        wanted = self.headers.get("Range")
        try:
            content = open(path, "rb").read()  # noqa: SIM115
        except OSError:
            self.send_error(404)
            return
        first, last = 0, len(content) - 1
        if wanted and self.gives_parts:
            start, stop = wanted.removeprefix("bytes=").split("-")
            first, last = int(start), min(int(stop or last), last)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        else:
            self.send_response(200)
        if self.gives_parts:
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(last - first + 1))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[first : last + 1])

    do_HEAD = do_GET

    def log_message(self, *arguments):
        """Say nothing."""


class NoRanges(Ranges):
    """Files of a folder, whole, of a length that is not said."""

    gives_parts = False
    protocol_version = "HTTP/1.0"


@pytest.fixture(params=[Ranges])
def address(request, tmp_path):
    """The URL of a folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(request.param, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_file_behind_a_url(tmp_path, address):
    pytest.importorskip("fsspec", reason="fsspec is an optional extra: pip install 'popglm[nwb]'")
    path = steinmetz(tmp_path).path
    with pg.read_nwb(f"{address}/{path.name}") as far, pg.read_nwb(path) as near:
        same(far, near)
        assert far.attrs["source"] == f"{address}/{path.name}"
    with pytest.raises(FileNotFoundError, match="there is no file at 'http"):
        pg.read_nwb(f"{address}/other.nwb")


@pytest.mark.parametrize("address", [NoRanges], indirect=True)
def test_a_server_that_only_gives_whole_files(tmp_path, address):
    pytest.importorskip("fsspec", reason="fsspec is an optional extra: pip install 'popglm[nwb]'")
    path = virmen(tmp_path).path
    with pytest.raises(ValueError, match="does not give parts of a file; download it first"):
        pg.read_nwb(f"{address}/{path.name}")


def test_a_url_of_a_local_file(tmp_path):
    folder = tmp_path / "with a space"
    folder.mkdir()
    path = shutil.move(virmen(tmp_path).path, folder)
    from pathlib import Path

    with pg.read_nwb(Path(path).as_uri()) as far, pg.read_nwb(path) as near:
        same(far, near)


def bad_files(folder):
    """Bad files by name, and what is said of each."""
    good = virmen(folder).path
    content = good.read_bytes()
    (folder / "cut.nwb").write_bytes(content[: len(content) // 2])
    (folder / "empty.nwb").write_bytes(b"")
    (folder / "text.nwb").write_text("not a file of HDF5, but a text that is long enough to be one" * 50)
    (folder / "folder.nwb").mkdir()
    with h5py.File(folder / "other.nwb", "w") as file:
        file["x"] = 1
    with h5py.File(folder / "matlab.nwb", "w") as file:
        file["#refs#/x"] = 1
    with h5py.File(folder / "old.nwb", "w") as file:
        file["nwb_version"] = "NWB-1.0.6"
    with h5py.File(folder / "hollow.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.5.0"
    return {
        "cut.nwb": "is cut short",
        "empty.nwb": "is empty",
        "text.nwb": "is no NWB file: it is not in the format HDF5",
        "folder.nwb": "is a folder, but not of Zarr",
        "other.nwb": "is a file of HDF5, but no NWB file",
        "matlab.nwb": "is a MATLAB file, but no NWB file",
        "old.nwb": "is of NWB 1",
        "hollow.nwb": r"pynwb cannot read .*hollow.nwb' \(NWB 2.5.0\)",
    }


def test_bad_files_are_told_in_one_sentence(tmp_path):
    for name, sentence in bad_files(tmp_path).items():
        with pytest.raises(ValueError, match=f"^[^\n]*{sentence}[^\n]*$"):
            pg.read_nwb(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        pg.read_nwb(tmp_path / "none.nwb")
    for wrong in (None, 3, ""):
        with pytest.raises(TypeError, match="path must be the name of a file or a URL"):
            pg.read_nwb(wrong)


def test_bytes_that_were_overwritten_are_an_error_or_leave_the_file_as_it_was(tmp_path):
    good = virmen(tmp_path)
    content = bytearray(good.path.read_bytes())
    rng = np.random.default_rng(0)
    bad = tmp_path / "bad.nwb"
    for _ in range(12):
        damaged = content.copy()
        start = int(rng.integers(0, len(damaged) - 2_000))
        damaged[start : start + 2_000] = rng.bytes(2_000)
        bad.write_bytes(damaged)
        with warnings.catch_warnings(), suppress(ValueError):
            warnings.simplefilter("ignore")
            # anything but a ValueError fails the test
            pg.read_nwb(bad).close()


def test_a_library_that_is_missing_is_named(tmp_path, monkeypatch):
    from popglm.recording.nwb import opening

    path = write(new_file(), tmp_path / "empty.nwb")
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'popglm\[nwb\]'"):
        pg.read_nwb(path)
