"""Pictures with matplotlib: every function takes Axes, or makes them, and returns them."""

from popglm.plot.activity import predicted_and_recorded
from popglm.plot.deviance import deviance_histogram, deviance_over_strengths

__all__ = ["deviance_histogram", "deviance_over_strengths", "predicted_and_recorded"]
