"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import latent_tracer.core


def test_examples_in_docstrings_are_true() -> None:
    tried = 0
    for found in pkgutil.walk_packages(latent_tracer.core.__path__, "latent_tracer.core."):
        done = doctest.testmod(importlib.import_module(found.name))
        assert done.failed == 0, found.name
        tried += done.attempted
    assert tried >= 5
