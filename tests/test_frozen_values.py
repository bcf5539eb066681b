"""Results, keys and settings cannot be changed by whoever receives them."""

from __future__ import annotations

import dataclasses

import pytest
from latent_tracer.core import Profile, Verdict
from latent_tracer.core.fingerprints import FingerprintBasis, Key, Reading, Register, UserAttribution
from latent_tracer.core.profiles import Limit, Limits, Source
from latent_tracer.core.profiles.table import SourceRow
from latent_tracer.core.profiles.thresholds import Threshold
from latent_tracer.core.tracing.row import TraceRow
from latent_tracer.core.verdicts.doubt import History

KINDS = [
    *(FingerprintBasis, History, Key, Limit, Limits, Profile, Reading, Register, Source, SourceRow, Threshold),
    *(TraceRow, UserAttribution, Verdict),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_field_can_be_set(kind):
    made = object.__new__(kind)
    for field in dataclasses.fields(kind):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, field.name, None)
