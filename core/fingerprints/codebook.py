"""From keys to coded bits: the key, eight free bits, and a convolutional code around both.

The free bits carry nothing. The embedder takes whichever of the 256 codewords of a key is nearest to what the latent
already says, and changes the picture less for it (informed coding after Costa, IEEE Trans. Inf. Theory 29(3), 1983).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .convolutional_code import Bits, encode
from .keys import Key, check_key_bits

# Bits that no key fixes: of 256 codewords the nearest is written, 4 to 5 dB less change (see margin.py).
FREE_BITS = 8
# Coded bits of a bound mark that say the same whatever the key: by them it is found again after a crop. So many agree
# by chance once in 2^32, and there are 2^16 starts.
PILOTS = 32
# Short keys get more coded bits each: below about this many, no read-out would be rare enough by chance.
FEWEST_CODED_BITS = 144


def inverse_rate(key_bits: int) -> int:
    """Coded bits per message bit: 2 from 64 key bits on, 3 or 4 for shorter keys."""
    check_key_bits(key_bits)
    return max(2, math.ceil(FEWEST_CODED_BITS / message_bits(key_bits)))


def message_bits(key_bits: int) -> int:
    return key_bits + FREE_BITS


def coded_bits(key_bits: int, pilots: int = 0) -> int:
    """All coded bits; the last ``pilots`` of them are +1 whatever the key."""
    return message_bits(key_bits) * inverse_rate(key_bits) + pilots


@cache
def free_codewords(key_bits: int, pilots: int = 0) -> Tensor:
    """``[256,n]`` signs: what each setting of the free bits multiplies a key's codeword with."""
    settings = np.unpackbits(np.arange(1 << FREE_BITS, dtype=np.uint8)[:, None], axis=1)
    messages = np.zeros((len(settings), message_bits(key_bits)), np.uint8)
    messages[:, key_bits:] = settings
    return _codewords(messages, key_bits, pilots)


def key_codewords(keys: list[Key], pilots: int = 0) -> Tensor:
    """``[N,n]`` signs of keys of one length, all free bits 0."""
    bits = np.stack([key.bits for key in keys])
    messages = np.concatenate([bits, np.zeros((len(bits), FREE_BITS), np.uint8)], 1)
    return _codewords(messages, len(keys[0]), pilots)


def message_codewords(messages: Bits, key_bits: int, pilots: int = 0) -> Tensor:
    """``[B,n]`` signs of whole messages ``[B,k+8]``."""
    return _codewords(messages, key_bits, pilots)


def _codewords(messages: Bits, key_bits: int, pilots: int) -> Tensor:
    words = torch.from_numpy(encode(messages, inverse_rate(key_bits)))
    return F.pad(words, (0, pilots), value=1.0)
