"""The examples in the documentation of the package."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest
import sutazai

MODULES = [module.name for module in pkgutil.iter_modules(sutazai.__path__, "sutazai.")]


@pytest.mark.parametrize("name", ["sutazai", *MODULES])
def test_examples_do_what_they_say(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    found = (doctest.DocTestFinder().find(importlib.import_module(name)) for name in MODULES)
    assert sum(bool(test.examples) for tests in found for test in tests) >= 9
