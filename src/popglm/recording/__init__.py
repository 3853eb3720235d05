"""From a lab's files to one labelled session."""

from popglm.recording.alf import read_alf
from popglm.recording.caiman import read_caiman
from popglm.recording.kilosort import read_kilosort
from popglm.recording.nwb.reader import read_nwb
from popglm.recording.series import events, intervals, signal, spike_trains, traces
from popglm.recording.session import Session
from popglm.recording.sources import Variable
from popglm.recording.suite2p import read_suite2p

__all__ = [
    "Session",
    "Variable",
    "events",
    "intervals",
    "read_alf",
    "read_caiman",
    "read_kilosort",
    "read_nwb",
    "read_suite2p",
    "signal",
    "spike_trains",
    "traces",
]
