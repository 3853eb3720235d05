"""A checkpoint in memory that ends fits at a pause of a test's choice."""

import io

import numpy as np


class Stopped(BaseException):
    """The end of a fit."""


def through_a_file(state):
    """A state as it comes back from a file."""
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    with np.load(file, allow_pickle=False) as found:
        return dict(found)


class Memory:
    """Keeps what a fit hands out when it is stopped, at the pause number ``stop`` from the start or from there on."""

    def __init__(self, stop=None, store=None, name=""):
        self.store = {"stop": stop, "pauses": 0, "states": {}, "results": {}} if store is None else store
        self.name = name

    def part(self, name):
        return Memory(store=self.store, name=f"{self.name}/{name}")

    def last(self):
        return self.store["states"].get(self.name)

    def result(self):
        return self.store["results"].get(self.name)

    def finish(self, state):
        self.store["results"][self.name] = through_a_file(state)

    def pause(self, state):
        self.store["pauses"] += 1
        if self.store["pauses"] == self.store["stop"]:
            self.store["states"][self.name] = through_a_file(state())
            raise Stopped

    @property
    def pauses(self):
        """How many there were since the fit began or went on."""
        return self.store["pauses"]


def resumed(fit, stop):
    """What ``fit(checkpoint)`` ends with that is stopped at every ``stop``-th pause, and how often it was."""
    memory, times = Memory(stop), 0
    while True:
        memory.store["pauses"] = 0
        try:
            return fit(memory), times
        except Stopped:
            times += 1
