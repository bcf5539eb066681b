"""RONAN's two-dimensional entropy against its definition written out as loops."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from latent_tracer.core import InvalidImageError, two_dimensional_entropy


def by_loops(image):
    height, width = image.shape
    counts = {}
    for row in range(height):
        for column in range(width):
            total = 0
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    total += int(image[min(max(row + down, 0), height - 1), min(max(column + right, 0), width - 1)])
            pair = (int(image[row, column]), total // 9)
            counts[pair] = counts.get(pair, 0) + 1
    return -sum(count / image.size * math.log2(count / image.size) for count in counts.values())


@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_entropy_equals_its_definition(image):
    assert two_dimensional_entropy(image) == pytest.approx(by_loops(image), abs=1e-6)


@given(st.integers(0, 255), st.integers(1, 20), st.integers(1, 20))
def test_a_flat_image_has_no_entropy(value, height, width):
    assert str(two_dimensional_entropy(np.full((height, width), value, np.uint8))) == "0.0"


def test_known_values():
    halves = np.repeat(np.array([[0, 90]], np.uint8), 8, axis=1)[[0] * 8]  # 8 columns of 0, 8 of 90
    # Pairs (0,0), (0,30), (90,60), (90,90) with shares 7/16, 1/16, 1/16, 7/16.
    assert two_dimensional_entropy(halves) == pytest.approx(
        -2 * (7 / 16 * math.log2(7 / 16) + 1 / 16 * math.log2(1 / 16))
    )
    checker = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    assert 1 <= two_dimensional_entropy(checker) < 1.5


def test_it_stays_within_its_bounds_and_leaves_the_image_alone():
    image = np.random.default_rng(0).integers(0, 256, (128, 96), np.uint8)
    before = image.copy()
    assert 0 < two_dimensional_entropy(image) <= min(16, math.log2(image.size))
    assert two_dimensional_entropy(image[::-1]) == pytest.approx(two_dimensional_entropy(image))
    assert np.array_equal(image, before)


def test_a_large_picture_takes_a_fraction_of_a_second():
    image = np.random.default_rng(0).integers(0, 256, (512, 512), np.uint8)
    began = time.process_time()
    two_dimensional_entropy(image)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4)), "float64"),
        (np.zeros((4, 4), np.int32), "int32"),
        (np.zeros((4, 4), bool), "bool"),
        (np.zeros((4, 4, 3), np.uint8), r"\(4, 4, 3\)"),
        (np.zeros(4, np.uint8), r"\(4,\)"),
        (np.zeros((0, 4), np.uint8), "empty"),
    ],
)
def test_what_is_no_grey_image_is_named(image, message):
    with pytest.raises(InvalidImageError, match=message):
        two_dimensional_entropy(image)
