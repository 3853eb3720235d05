"""From a lab's files to one labelled session."""

from popglm.recording.series import events, intervals, signal, spike_trains, traces
from popglm.recording.session import Session

__all__ = ["Session", "events", "intervals", "signal", "spike_trains", "traces"]
