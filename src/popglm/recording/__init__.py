"""From a lab's files to one labelled session."""

from popglm.recording.alf import read_alf
from popglm.recording.arrays import read_arrays
from popglm.recording.caiman import read_caiman
from popglm.recording.file_contents import contents
from popglm.recording.interval_tables import read_intervals
from popglm.recording.kilosort import read_kilosort
from popglm.recording.matlab import read_matlab
from popglm.recording.nwb.reader import read_nwb
from popglm.recording.pynapple_objects import read_pynapple
from popglm.recording.series import events, intervals, signal, spike_trains, traces
from popglm.recording.session import Session
from popglm.recording.sources import Variable
from popglm.recording.suite2p import read_suite2p
from popglm.recording.tables import read_table

__all__ = [
    "Session",
    "Variable",
    "contents",
    "events",
    "intervals",
    "read_alf",
    "read_arrays",
    "read_caiman",
    "read_intervals",
    "read_kilosort",
    "read_matlab",
    "read_nwb",
    "read_pynapple",
    "read_suite2p",
    "read_table",
    "signal",
    "spike_trains",
    "traces",
]
