"""popglm: generalized linear encoding models for whole neural populations."""

__version__ = "0.1.0"
