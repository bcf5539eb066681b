"""How often is a key that is named the wrong one, where a mark is so faint that not every bit of it is read rightly?

    python benchmarks/wrong_keys.py --quick
    python benchmarks/wrong_keys.py --rows benchmarks/results/wrong-keys-rows.jsonl           # resumable

Read-outs of a mark are drawn, not read from pictures: each coded bit is right on average by so many deviations, and
scatters as a normal variable, as Student's t of five degrees of freedom (heavy tails), or as a mark leaves it: moved at
least to a margin of so many deviations, and further where the picture itself lies further. Keys that a p-value alone
would name are counted beside those that are also certain (WRONG_KEY_RATE).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from common import Row, cells_table, made_by, parser_of, rows_of, write_json
from latent_tracer.core.fingerprints import Key, convolutional_code
from latent_tracer.core.fingerprints.codebook import PILOTS, coded_bits, inverse_rate, key_codewords
from latent_tracer.core.fingerprints.read import FALSE_KEY_RATE, WRONG_KEY_RATE, decode_readouts
from latent_tracer.core.inversion.objective import Passes
from numpy.typing import NDArray
from rich.progress import track

STRENGTHS = (0.9, 1.0, 1.1, 1.2, 1.3, 1.5, 2.0)
SCATTERS = ("normal", "heavy tails", "moved to a margin")
# How the picture's own read-outs scatter beside the noise, where they are moved.
CONTENT = 3.0
KEY_BITS, BATCH = (32, 64, 128), 100


def agreeing(scatter: str, strength: float, count: int, generator: np.random.Generator) -> NDArray[np.floating]:
    """``[count]`` read-outs signed by what was written, with noise of variance 1."""
    if scatter == "heavy tails":
        return strength + generator.standard_t(5, count) * math.sqrt(0.6)
    noise = generator.standard_normal(count)
    if scatter == "normal":
        return strength + noise
    return np.maximum(strength, CONTENT * generator.standard_normal(count)) + noise


def measure(bits: int, scatter: str, strength: float, batch: int) -> Row:
    generator = np.random.default_rng([bits, SCATTERS.index(scatter), round(100 * strength), batch])
    counts = {"named by p-value": 0, "of them wrong": 0, "named": 0, "wrong": 0}
    for _ in range(BATCH):
        key = Key(generator.bytes(bits // 8).hex())
        codeword = key_codewords([key], PILOTS)[0].numpy()
        values = codeword * agreeing(scatter, strength, coded_bits(bits, PILOTS), generator)
        reading = decode_readouts(torch.from_numpy(values).float(), bits, FALSE_KEY_RATE, Passes(), bound=True)
        message = convolutional_code.decode(values[None, : coded_bits(bits)], inverse_rate(bits))[0, :bits]
        counts["named by p-value"] += reading.is_marked
        counts["of them wrong"] += reading.is_marked and Key.from_bits(message) != key
        counts["named"] += reading.key is not None
        counts["wrong"] += reading.key not in (None, key)
    return {"key bits": bits, "scatter": scatter, "strength": strength, "batch": batch, "trials": BATCH, **counts}


def main() -> None:
    parser = parser_of(__doc__, "one batch of 64 bits", batches=5)
    args = parser.parse_args()
    rows = rows_of(args, "wrong-keys", ("key bits", "scatter", "strength", "batch"))
    jobs = [
        (bits, scatter, strength, batch)
        for batch in range(1 if args.quick else args.batches)
        for bits in ((64,) if args.quick else KEY_BITS)
        for scatter in SCATTERS
        for strength in STRENGTHS
    ]
    for job in track([] if args.report_only else jobs, "drawing"):
        if rows.lacks(*job):
            rows.add(measure(*job))
    names = ("trials", "named by p-value", "of them wrong", "named", "wrong")
    lines = []
    for bits, scatter, strength in dict.fromkeys((r["key bits"], r["scatter"], r["strength"]) for r in rows):
        part = [r for r in rows if (r["key bits"], r["scatter"], r["strength"]) == (bits, scatter, strength)]
        lines.append([str(bits), scatter, str(strength), *(str(sum(row[name] for row in part)) for name in names)])
    print(
        f"# Keys named wrongly\n\n{made_by(rows.path.name)}\nThe stated rate of a named key is {WRONG_KEY_RATE:.0%}.\n"
    )
    print(cells_table(["key bits", "scatter", "deviations", *names], lines))
    write_json(args.json, list(rows))


if __name__ == "__main__":
    main()
