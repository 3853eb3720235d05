"""From a lab's files to one labelled session."""

from popglm.recording.series import events, intervals, signal, spike_trains, traces
from popglm.recording.session import Session
from popglm.recording.sources import Variable

__all__ = ["Session", "Variable", "events", "intervals", "signal", "spike_trains", "traces"]
