"""From a lab's files to one labelled session."""

from popglm.recording.nwb.reader import read_nwb
from popglm.recording.series import events, intervals, signal, spike_trains, traces
from popglm.recording.session import Session
from popglm.recording.sources import Variable

__all__ = ["Session", "Variable", "events", "intervals", "read_nwb", "signal", "spike_trains", "traces"]
