"""An error shows what was wrong, and not where the pack lies."""

import importlib.util
import sys

import pytest
from latent_tracer.core import errors


@pytest.mark.parametrize(
    "name", ["/home/somebody/ComfyUI/custom_nodes/latent-tracer.core.errors", "C:\\x\\y.core.errors"]
)
def test_a_pack_that_is_loaded_by_its_path_names_its_errors_without_it(name, monkeypatch):
    spec = importlib.util.spec_from_file_location(name, errors.__file__)
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, loaded)
    spec.loader.exec_module(loaded)
    assert loaded.LatentTracerError.__module__ == loaded.InvalidImageError.__module__ == "latent_tracer"

    class Further(loaded.InvalidSettingError):
        __module__ = name

    assert Further.__module__ == "latent_tracer"


def test_a_package_that_is_imported_keeps_its_modules():
    assert errors.InvalidImageError.__module__ == errors.__name__ == "latent_tracer.core.errors"
