"""The pure core: facts in, numbers out. No clock, no I/O, no randomness; the same facts give the same numbers."""

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def _load_compiled() -> None:
    """All compiled modules are in one file beside them: it is loaded first, wherever a program was started."""
    for path in Path(__file__).parent.glob(f"*__mypyc{EXTENSION_SUFFIXES[0]}"):
        name = path.name.partition(".")[0]
        spec = spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} cannot be loaded: run `make pure`")
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])


_load_compiled()
