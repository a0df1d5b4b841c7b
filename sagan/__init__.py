"""A reproducible benchmark for small GANs: does this ingredient help, by how much, how surely, at what cost?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagan.generators import generator_of as load_generator

__all__ = ["__version__", "load_generator"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Lazy: `import sagan` must not wait for torch.
    if name == "load_generator":
        from sagan.generators import generator_of

        return generator_of
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
