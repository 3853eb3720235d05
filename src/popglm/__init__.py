"""popglm: generalized linear encoding models for whole neural populations."""

import lazy_loader

__version__ = "0.1.0"

# each name of __init__.pyi is imported when it is first asked for: help of the command line, say, needs neither numba
# nor matplotlib
__getattr__, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = [name for name in _names if name not in ("plot", "recording")]
