"""What the notes of a grid tell of clocks and values."""

import numpy as np
import pytest

from popglm.recording import Session, signal, spike_trains, traces


def test_samples_without_a_time_are_counted():
    times = np.arange(600) / 10
    times[[7, 99]] = np.nan
    other = np.arange(300) / 5
    other[0] = np.nan
    session = Session(
        {"dff": traces(np.zeros((600, 2)), times)},
        {"x": signal(np.zeros(600), times), "y": signal(np.zeros(300), other), "z": signal(np.zeros(300), other)},
    )
    notes = session.regrid(0.1, variables=["x", "y"]).attrs["notes"].splitlines()
    assert "2 of 600 samples of 'dff', 'x' have no time, and are left out" in notes
    assert "1 of 300 samples of 'y' have no time, and are left out" in notes
    assert session.mend_clock("y").regrid(variables=["z"], clock="x").attrs["notes"].count("have no time") == 2


def test_clocks_without_loss_have_no_note():
    session = Session({"dff": traces(np.zeros((600, 2)), np.arange(600) / 10)}, {"x": signal(np.zeros(60), rate=1)})
    assert session.regrid().attrs["notes"] == ""


@pytest.mark.parametrize(("dt", "is_told"), [(0.01, True), (0.05, True), (0.08, False), (0.1, False), (1.0, False)])
def test_bins_finer_than_the_activity_are_told(dt, is_told):
    session = Session({"dff": traces(np.zeros((600, 2)), rate=10)})
    notes = session.regrid(dt).attrs["notes"]
    words = f"bins of {dt:g} s are finer than the samples of 'dff', which are 0.1 s apart"
    assert (words in notes) == is_told
    spikes = Session({"u": spike_trains([np.arange(600) / 10])})
    assert "finer" not in spikes.regrid(dt).attrs["notes"]
