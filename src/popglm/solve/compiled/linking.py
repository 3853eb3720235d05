"""How numba compiles functions that compiled ones alone call: machine code is made once, within their callers.

numba optimises every function and makes machine code of it, then does both again within each caller. For functions
that Python never calls the first is in vain, and half of LLVM's work. Here they are lowered to LLVM's instructions and
linked into their callers, no more. That rests on the inside of numba, so it is done with the versions that it was tried
with. With all others `pipelines` names numba's own compiler: slower, with the same results.
"""

from __future__ import annotations

import gc
from typing import Any

import numba

__all__ = ["pipelines"]

#: Versions of numba with which the tests of compiled functions passed that way. With 0.60 and 0.61 the pass fails.
TRIED = {(0, 65), (0, 68)}
#: What is overridden of numba's libraries of code.
OVERRIDDEN = (
    "_optimize_final_module",
    "_finalize_final_module",
    "_finalize_dynamic_globals",
    "_verify_declare_only_symbols",
)


def pipelines() -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of `numba.njit` for functions that Python calls, and for those that compiled functions alone call."""
    try:
        if numba.version_info[:2] in TRIED:
            return _pipelines()
    except (ImportError, AttributeError):
        pass
    return {}, {"no_cpython_wrapper": True}


def _linked_lowering() -> Any:
    """The pass that lowers a function into its callers alone."""
    from numba._dynfunc import make_function  # type: ignore[import-not-found]  # it is compiled
    from numba.core.codegen import JITCodeLibrary
    from numba.core.compiler_machinery import register_pass
    from numba.core.typed_passes import NativeLowering

    for name in OVERRIDDEN:
        getattr(JITCodeLibrary, name)

    class LinkedLibrary(JITCodeLibrary):
        """Code that waits for its callers, which optimise all that they link."""

        def _optimize_final_module(self) -> None:
            """Nothing: the callers do."""

        def _finalize_final_module(self) -> None:
            """As numba's, without machine code."""
            self._finalize_dynamic_globals()
            self._verify_declare_only_symbols()
            self._finalized = True

    @register_pass(mutates_CFG=True, analysis_only=False)
    class LinkedLowering(NativeLowering):
        """Lower a function into a `LinkedLibrary`, and tell its callers of it."""

        _name = "popglm_linked_lowering"

        def run_pass(self, state: Any) -> bool:
            state.library = LinkedLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
            # flags of the whole compilation are those of the callers, so that both share what numba compiles of NumPy
            state.flags.no_compile = state.flags.no_cpython_wrapper = True
            super().run_pass(state)
            made = state["cr"]
            what, libraries = made.fndesc, (state.library,)
            # callers know functions by their entry points, so each has one, although it leads nowhere
            entry = make_function(what.lookup_module(), what.qualname, "linked", 0, made.env, libraries)
            state.targetctx.insert_user_function(entry, what, libraries)
            state.reload_init.extend(state.library._reload_init)
            state["cr"] = made._replace(cfunc=entry)
            return True

    return LinkedLowering


def _pipelines() -> tuple[dict[str, Any], dict[str, Any]]:
    """`pipelines`, if numba has what they need."""
    from numba.core.compiler import Compiler
    from numba.core.typed_passes import NativeLowering

    lowering = _linked_lowering()

    class PatientCompiler(Compiler):
        """numba's compiler while Python collects no garbage, of which it makes little: a tenth of its time."""

        def compile_extra(self, func: Any) -> Any:
            enabled = gc.isenabled()
            gc.disable()
            try:
                return super().compile_extra(func)
            finally:
                if enabled:
                    gc.enable()

    class LinkedCompiler(PatientCompiler):
        """The same, which ends with that pass."""

        def define_pipelines(self) -> list[Any]:
            found = super().define_pipelines()
            for manager in found:
                manager.passes = [(lowering if kind is NativeLowering else kind, name) for kind, name in manager.passes]
                manager.finalize()
            return found

    return {"pipeline_class": PatientCompiler}, {"pipeline_class": LinkedCompiler}
