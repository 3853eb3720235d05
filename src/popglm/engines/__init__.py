"""Array libraries behind one narrow interface."""

from popglm.engines.numpy_engine import NumpyEngine

__all__ = ["NumpyEngine"]
