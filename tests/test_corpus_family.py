"""Corpora that are asked for families: rows, their counts and report, and a run that goes on where it stopped."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from commands import run
from demo_families import families, proxies_in
from latent_tracer.core import (
    InvalidSettingError,
    Picture,
    load_autoencoder,
    quantise,
    synthetic_photograph,
    to_picture,
)
from latent_tracer.core.models.loading import EMBEDDED
from latent_tracer.core.tracing.family import which_family
from latent_tracer.core.verdicts.family import family_record

for package in ("ray", "pyarrow", "fsspec"):
    pytest.importorskip(package, reason=f"no {package} here: the extra corpus brings it")

from latent_tracer.corpus import report  # noqa: E402
from latent_tracer.corpus.engine import Engine, started  # noqa: E402
from latent_tracer.corpus.inputs import Source, sources  # noqa: E402
from latent_tracer.corpus.schema import SCHEMAS, table_of  # noqa: E402
from latent_tracer.corpus.settings import RunSettings, load_settings  # noqa: E402
from latent_tracer.corpus.shards import ShardWriter, batches_in, counts_in  # noqa: E402
from latent_tracer.corpus.status import status_of  # noqa: E402
from latent_tracer.corpus.work import FamilyWork  # noqa: E402

SETTINGS = RunSettings("family", ("/in",), {"models": ["m"], "families": "f"}, {"proxies": "demo-a"})
# Of `family --json`, then what every corpus has; a promise: added to at the end, never renamed.
COLUMNS = [
    *("image", "family", "p_value", "fpr", "scores", "basis", "answer", "fpr_bound", "fnr", "missing", "claims"),
    *("error", "name", "digest", "seconds", "shard"),
]


@pytest.fixture(scope="module")
def calibration():
    """Of the demo decoders as proxies."""
    return families(tuple((name[-1].upper(), name, load_autoencoder(name).fingerprint) for name in EMBEDDED))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A picture of each demo decoder, a photograph, and a broken file."""
    root = tmp_path_factory.mktemp("corpus") / "in"
    root.mkdir()
    for seed, name in enumerate(EMBEDDED):
        demo = load_autoencoder(name)
        with torch.no_grad():
            made = quantise(demo.decode(demo.encode(synthetic_photograph(seed + 3, 192))))
        to_picture(made).save(root / f"{name}.png")
    to_picture(synthetic_photograph(9, 192)).save(root / "photograph.png")
    (root / "broken.png").write_bytes(b"\x89PNG")
    return root


@pytest.mark.parametrize("batch", [1, 4])
def test_a_workers_records_are_those_of_the_command(folder, calibration, batch):
    proxies = [load_autoencoder(name) for name in EMBEDDED]
    work = FamilyWork(proxies, calibration, batch)
    work.begin("cpu")
    refused = Source("/x", "refused.png", "/x", refused="is a pipe")
    records = {record["name"]: record for record in work.records([*sources([str(folder)]), refused])}
    assert {name: record["family"] for name, record in records.items()} == {
        "demo-a.png": "A", "demo-b.png": "B", "photograph.png": None, "broken.png": None, "refused.png": None
    }  # fmt: skip
    picture = Picture.read(folder / "demo-a.png")
    opened = [partial(nullcontext, load_autoencoder(name)) for name in EMBEDDED]
    (verdict,) = which_family(opened, [picture], calibration)
    expected = {**family_record(str(folder / "demo-a.png"), verdict), "claims": picture.facts.claims.sentence}
    found = records["demo-a.png"]
    scores = {one.pop("proxy"): one for one in (dict(score) for score in found["scores"])}
    assert scores.keys() == expected["scores"].keys()
    for name, score in scores.items():  # passes that are shared differ in the last bits
        assert score == pytest.approx(expected["scores"][name], abs=0 if batch == 1 else 1e-3)
    assert {key: found[key] for key in expected if key not in ("scores", "basis")} == {
        key: value for key, value in expected.items() if key not in ("scores", "basis")
    }
    assert found["digest"] == picture.facts.digest and found["seconds"] > 0 and not found["error"]
    assert records["refused.png"]["error"] == "is a pipe" and records["broken.png"]["error"].startswith("is not a")
    rows = table_of("family", [{**record, "shard": ""} for record in records.values()]).to_pylist()
    assert [row["family"] for row in rows] == [record["family"] for record in records.values()]


def test_the_columns_are_those_of_the_command_then_those_of_every_corpus():
    assert SCHEMAS["family"].names == COLUMNS


def row(number, **fields):
    empty = dict.fromkeys(COLUMNS) | {"scores": [], "missing": [], "error": "", "shard": "", "seconds": 1.0}
    return {**empty, "image": f"/{number}.png", "name": f"{number}.png", "digest": f"{number:064x}", **fields}


def filled(path, settings=SETTINGS):
    """Two of a family, one of none, two that cannot be told, and one broken."""
    settings.write(path)
    writer = ShardWriter(path, "family")
    proxy = {"proxy": "demo-a", "family": "A", "shows": True, "contrast": -0.1, "deviation": 0.01, "evidence": -9.0,
             "p_value": 0.01, "error": ""}  # fmt: skip
    made = {
        "family": "A",
        "answer": "family",
        "basis": "shows",
        "claims": "it names x",
        "scores": [proxy],
    }
    untold = {"answer": "cannot tell", "basis": "small; <b>smooth</b>", "claims": "nothing"}
    records = [
        *(row(number, **made) for number in (1, 2)),
        row(3, answer="none", basis="no trace", claims="nothing"),
        *(row(number, **untold) for number in (4, 5)),
        row(6, error="=broken"),
    ]
    writer.add(table_of("family", records))
    writer.flush()
    return path


def test_families_are_counted_and_reported_with_reasons_and_claims(tmp_path):
    filled(tmp_path)
    assert counts_in(tmp_path).answers == {"A": 2, "none": 1, "cannot tell": 2, "not traced": 1}
    assert status_of(tmp_path).record()["kind"] == "family"
    line = report.write_corpus_report(tmp_path, tmp_path / "r")
    assert line == "6 pictures: 2 A, 2 cannot tell, 1 none, 1 not traced; 1 with an error"
    page = (tmp_path / "r" / "corpus.html").read_text(encoding="utf-8")
    assert "Why no family can be told" in page and "small; &lt;b&gt;smooth" in page and "never a checkpoint" in page
    assert "What metadata claim" in page and "it names x" in page
    rows = list(csv.DictReader(io.StringIO((tmp_path / "r" / "corpus.csv").read_text(encoding="utf-8-sig"))))
    assert list(rows[0]) == COLUMNS and [one["family"] for one in rows] == ["A", "A", "", "", "", ""]
    assert json.loads(rows[0]["scores"])[0]["evidence"] == -9.0 and rows[5]["error"] == "'=broken"


def test_another_calibration_is_refused_in_one_sentence(tmp_path):
    filled(tmp_path)
    other = dataclasses.replace(SETTINGS, settings={**SETTINGS.settings, "families": "g"})
    with pytest.raises(InvalidSettingError, match="another calibration of families:"):
        other.write(tmp_path)
    with pytest.raises(InvalidSettingError, match="holds rows of `corpus family`"):
        dataclasses.replace(SETTINGS, kind="trace").write(tmp_path)


def test_the_command_gives_each_picture_a_row_and_the_same_command_does_nothing_more(folder, calibration, tmp_path):
    proxies = tmp_path / "vae_approx"
    proxies.mkdir()
    (tmp_path / "families.json").write_text(calibration.to_json())
    command = ("corpus", "family", folder, "--proxies", proxies_in(proxies), "--calibration",
               tmp_path / "families.json", "-o", tmp_path / "out", "--workers", 1)  # fmt: skip
    with started(Engine(workers=1)):
        first = run(*command)
        again = run(*command, "--json")
    assert first.returncode == 2 and "4 rows: 1 A, 1 B, " in first.stdout and "1 with an error" in first.stdout
    found = json.loads(again.stdout)
    assert (found["earlier"], found["now"], found["state"]) == (4, 0, "complete")
    rows = {one["name"]: one for batch in batches_in(tmp_path / "out") for one in batch.to_pylist()}
    assert rows["demo-b.png"]["family"] == "B" and rows["broken.png"]["error"]
    assert load_settings(tmp_path / "out").shown == {"proxies": "demo-a, demo-b", "calibrated on": "a test"}
