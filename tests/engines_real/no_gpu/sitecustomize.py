"""Stands in for what SGLang imports and has no build for a CPU: every name of these packages is empty.

Python reads it at the start of each of SGLang's processes. Nothing of it is called: rotary embeddings, norms
and attention have plain torch forms for a CPU, so scheduler, tokenizer and metrics run on a real model. The
folder beside it gives torchvision the version that transformers asks for.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

ABSENT = frozenset({"sgl_kernel", "torchvision"})


class _Empty(type):
    def __getattr__(cls, name: str) -> Any:
        return _empty(name)


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return _empty(name)


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in ABSENT else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def _empty(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Empty(name, (), {})


sys.meta_path.append(_Finder())
