"""The rooms of the core import in one direction, without a circle: pyproject.toml says in which order."""

from __future__ import annotations

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

from .conftest import REPOSITORY


def test_imports_go_one_way(capsys: pytest.CaptureFixture[str]) -> None:
    status = lint_imports(config_filename=str(REPOSITORY / "pyproject.toml"), no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_a_step_back_up_is_noticed(tmp_path, capsys, monkeypatch) -> None:
    """The checker's own test: a package whose lowest room imports its highest breaks the contract."""
    house = tmp_path / "house"
    for room in ("upper", "lower"):
        (house / room).mkdir(parents=True)
    (house / "__init__.py").write_text("")
    (house / "upper" / "__init__.py").write_text("")
    (house / "lower" / "__init__.py").write_text("from house import upper")
    config = tmp_path / "contracts.toml"
    config.write_text(
        '[tool.importlinter]\nroot_packages = ["house"]\n[[tool.importlinter.contracts]]\nname = "down"\n'
        'type = "layers"\ncontainers = ["house"]\nlayers = ["upper", "lower"]\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert lint_imports(config_filename=str(config), no_cache=True) != EXIT_STATUS_SUCCESS
    assert "BROKEN" in capsys.readouterr().out
