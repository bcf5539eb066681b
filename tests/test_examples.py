"""What the templates run on where nothing but the pack is installed is today's, whole, and small."""

from __future__ import annotations

import json

import pytest
from latent_tracer.core import Picture, load_autoencoder
from latent_tracer.core.fingerprints import Secret, load_basis, load_secret
from latent_tracer.core.models.loading import EMBEDDED
from latent_tracer.core.profiles.trust import EMBEDDED as PROFILES

from .conftest import REPOSITORY

EXAMPLES = REPOSITORY / "workflows" / "examples"
PICTURES = sorted((EXAMPLES / "pictures").glob("*/*"))


def test_the_profile_is_the_one_that_ships() -> None:
    (copy,) = (EXAMPLES / "latent_trace").iterdir()
    assert copy.read_bytes() == (PROFILES / "demo-a.profile.json").read_bytes()


def test_the_basis_is_one_of_demo_a() -> None:
    (path,) = (EXAMPLES / "latent_fingerprints").glob("*.safetensors")
    load_basis(path).check(load_autoencoder("demo-a"))


def test_the_secret_says_that_it_is_none() -> None:
    (path,) = (EXAMPLES / "latent_fingerprints").glob("*.secret")
    assert isinstance(load_secret(path), Secret) and path.read_text().startswith("public example")


def test_folders_of_models_hold_only_what_may_be_listed() -> None:
    for folder in {path.parent for path in EMBEDDED.values()}:
        assert {path.suffix for path in folder.iterdir()} == {".safetensors"}
    # After a user's own, whatever those are called.
    assert all(path.name.startswith("zz-latent-tracer-") for path in EMBEDDED.values())
    offered = [*(EXAMPLES / "latent_trace").iterdir(), *(EXAMPLES / "latent_fingerprints").iterdir()]
    assert all(path.name.startswith("zz-latent-tracer-") for path in offered)


@pytest.mark.parametrize("folder", sorted({path.parent.name for path in PICTURES}))
def test_pictures_can_be_read_and_are_small(folder: str) -> None:
    for path in (path for path in PICTURES if path.parent.name == folder):
        assert path.stat().st_size < 600_000
        claimed = Picture.read(path).facts.claims.vaes
        assert all((PROFILES / "vae" / name).is_file() for name in claimed)


def test_the_block_holds_only_links_that_have_both_ends() -> None:
    (path,) = (REPOSITORY / "subgraphs").glob("*.json")
    (block,) = json.loads(path.read_text(encoding="utf-8"))["definitions"]["subgraphs"]
    nodes = {node["id"]: node for node in block["nodes"]}
    ends = {(link["id"], link["target_id"], link["target_slot"]) for link in block["links"]}
    for link, target, slot in ends:
        socket = block["outputs"][slot]["linkIds"] if target == -20 else [nodes[target]["inputs"][slot]["link"]]
        assert link in socket
    assert len({link["id"] for link in block["links"]}) == len(block["links"])
