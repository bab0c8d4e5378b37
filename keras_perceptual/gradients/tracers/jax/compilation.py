"""Compiling for JAX what runs a few times only."""

import functools
from collections.abc import Callable
from typing import Any

import jax

# Its numbers need not be those of the training to the last bit. Where XLA
# optimizes less it takes a third to a half of the time to compile.
_FAST: dict[str, Any] = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


def compile_fast(function: Callable[..., Any]) -> Any:
    """Returns a compiled function which is ready soon, and slower then."""
    return jax.jit(function, compiler_options=_options())


@functools.cache
def _options() -> dict[str, Any]:
    """Returns the options that the installed JAX knows."""
    if _are_known(_FAST):
        return _FAST
    return {
        name: value
        for name, value in _FAST.items()
        if _are_known({name: value})
    }


def _are_known(options: dict[str, Any]) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options=options)()
    except Exception:
        return False
    return True
