"""Where fingerprint bases, registers and secrets lie: ``models/latent_fingerprints``.

A widget's value is saved with every workflow and inside every picture, so no node takes a key or a secret as text:
secrets are *named*, and their content stays in a file of that folder or in the environment.
"""

from __future__ import annotations

import contextlib
import os
import re

import folder_paths

from ..core import InvalidSettingError
from ..core.fingerprints import SECRET_VARIABLE, Secret, load_secret, secret_from_environment
from ..core.fingerprints.keys import InvalidSecretError
from ..core.storage.safe_text import clean_text

FOLDER = "latent_fingerprints"
folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))
folder_paths.folder_names_and_paths[FOLDER][1].update({".safetensors", ".json", ".secret"})
with contextlib.suppress(OSError):  # read-only models: Build says so when it is asked to write
    os.makedirs(folder_paths.get_folder_paths(FOLDER)[0], exist_ok=True)

ENVIRONMENT = f"environment variable {SECRET_VARIABLE}"
NO_REGISTER = "none"


def names(extension: str) -> list[str]:
    try:
        return [name for name in folder_paths.get_filename_list(FOLDER) if name.endswith(extension)]
    except FileNotFoundError:  # the folder was deleted while the server runs
        return []


def secret_names() -> list[str]:
    return [ENVIRONMENT, *names(".secret")]


def register_names() -> list[str]:
    return [NO_REGISTER, *names(".json")]


def secret_called(name: str) -> Secret:
    if name == ENVIRONMENT:
        return secret_from_environment()
    path = full_path(name)
    if path is None or not name.endswith(".secret"):
        raise InvalidSecretError(missing(name))
    try:
        return load_secret(path)
    except InvalidSecretError as error:
        raise InvalidSecretError(str(error).replace(path, f"{name}")) from None


def full_path(name: str) -> str | None:
    """Where the file called ``name`` lies, if there is one; what an API prompt holds may be anything."""
    return folder_paths.get_full_path(FOLDER, name) if isinstance(name, str) else None


def missing(name: str) -> str:
    return (
        f"There is no {clean_text(str(name), 80)!r} under models/{FOLDER}: put it there, or choose another. A secret is"
        " a text file NAME.secret with 16 random characters or more."
    )


def path_called(name: str) -> str:
    """The full path of an existing file; raises :class:`InvalidSettingError`."""
    path = full_path(name)
    if path is None:
        raise InvalidSettingError(missing(name))
    return path


def new_basis_path(name: str) -> str:
    """Where the basis called ``name`` is written; raises :class:`InvalidSettingError` unless that is a plain name."""
    stem = name.removesuffix(".safetensors")
    if not re.fullmatch(r"\w[\w .()+-]{0,150}", stem) or ".." in stem:
        raise InvalidSettingError(
            f"The name {name[:50]!r} cannot name a basis: use letters, digits, spaces, dots, dashes and underscores."
        )
    folder = os.path.realpath(folder_paths.get_folder_paths(FOLDER)[0])
    path = os.path.realpath(os.path.join(folder, stem + ".safetensors"))
    if os.path.commonpath((folder, path)) != folder:
        raise InvalidSettingError(f"The name {name[:50]!r} points outside models/{FOLDER}: use another name.")
    return path


def changed_at(*file_names: str) -> str:
    """Times at which files were written, so that a node reruns when one changes and only then."""
    paths = [folder_paths.get_full_path(FOLDER, name) for name in file_names]
    return " ".join("-" if path is None else str(os.stat(path).st_mtime_ns) for path in paths)
