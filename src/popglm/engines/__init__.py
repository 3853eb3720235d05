"""Array libraries behind one narrow interface."""

from popglm.engines.arrays import as_numpy, library_of, like
from popglm.engines.numpy_engine import NumpyEngine
from popglm.engines.protocol import Engine
from popglm.engines.registry import ENGINES, choose_engine, get_engine

__all__ = ["ENGINES", "Engine", "NumpyEngine", "as_numpy", "choose_engine", "get_engine", "library_of", "like"]
