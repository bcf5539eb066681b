"""The error-correcting code: tail-biting convolutional codes of constraint length 9, decoded by soft Viterbi.

ComfyUI ships no coding library and a pack must not install one, so this is written out: the encoder is a shift
register, the decoder the wrap-around Viterbi algorithm (Shao, Lin & Fossorier, IEEE Trans. Commun. 51(10), 2003). The
generators are the best known of their rates (Larsen 1973; Lin & Costello, Error Control Coding, table 12.1).
Convolutional codes because soft read-outs of 40 to 260 bits are what they do best, and because messages then form a
group: the codeword of a xor b is the product of the codewords.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

CONSTRAINT = 9
STATES = 1 << (CONSTRAINT - 1)
GENERATORS = {2: (0o561, 0o753), 3: (0o557, 0o663, 0o711), 4: (0o463, 0o535, 0o733, 0o745)}
# Turns around the trellis; the last but one is read out, by then start and end have been forgotten.
TURNS = 3

Bits = NDArray[np.uint8]
Signs = NDArray[np.float32]


@cache
def _outputs(inverse_rate: int) -> Signs:
    """``[512, inverse_rate]``: the signs that leave the encoder for each content of its register, newest bit lowest."""
    contents = np.arange(2 * STATES)[:, None] & np.array(GENERATORS[inverse_rate])
    parity = np.zeros_like(contents)
    for shift in range(CONSTRAINT):
        parity ^= contents >> shift & 1
    return (1 - 2 * parity).astype(np.float32)


def encode(messages: Bits, inverse_rate: int) -> Signs:
    """``[..., k]`` bits as ``[..., k·inverse_rate]`` signs, +1 for 0. k >= 8: it starts with the last bits."""
    bits = messages.astype(np.int64)
    registers = np.zeros_like(bits)
    for delay in range(CONSTRAINT):
        registers |= np.roll(bits, delay, axis=-1) << delay
    signs = _outputs(inverse_rate)[registers]
    return signs.reshape(*messages.shape[:-1], -1)


def decode(soft: NDArray[np.floating], inverse_rate: int) -> Bits:
    """``[B, k·inverse_rate]`` soft values, positive for +1, as the most likely messages ``[B, k]``."""
    values = np.ascontiguousarray(soft, dtype=np.float32).reshape(len(soft), -1, inverse_rate)
    length = values.shape[1]
    states = np.arange(STATES)
    # A state is the last eight bits, newest lowest; each has two predecessors, which differ in the bit that leaves.
    previous = np.stack([states >> 1, (states >> 1) | (STATES >> 1)], 1)
    register = (previous << 1) | (states & 1)[:, None]
    gains = values @ _outputs(inverse_rate).T  # [B,k,512]
    metric = np.zeros((len(values), STATES), np.float32)
    choices = np.empty((TURNS * length, len(values), STATES), np.uint8)
    for step in range(TURNS * length):
        candidates = metric[:, previous] + gains[:, step % length][:, register]
        choice = candidates[..., 1] > candidates[..., 0]
        metric = np.where(choice, candidates[..., 1], candidates[..., 0])
        metric -= metric.max(1, keepdims=True)
        choices[step] = choice
    rows = np.arange(len(values))
    state = metric.argmax(1)
    message = np.empty((len(values), length), np.uint8)
    for step in range(TURNS * length - 1, (TURNS - 2) * length - 1, -1):
        if step < (TURNS - 1) * length:
            message[:, step % length] = state & 1
        state = (state >> 1) | (choices[step, rows, state].astype(np.int64) * (STATES >> 1))
    return message


def reliabilities(soft: NDArray[np.floating], inverse_rate: int) -> NDArray[np.float64]:
    """``[B,k]``: how much better the best codeword is than the best one that differs in each message bit, >= 0.

    In the units of ``soft`` ``[B, k·inverse_rate]``; with logarithmic likelihood ratios L, the logarithmic odds that a
    bit is right (max-log-MAP; Robertson, Villebrun & Hoeher, ICC 1995). The sums run twice around the trellis, so that
    its unknown start is forgotten.
    """
    values = np.ascontiguousarray(soft, dtype=np.float64).reshape(len(soft), -1, inverse_rate)
    length = values.shape[1]
    states = np.arange(STATES)
    previous = np.stack([states >> 1, (states >> 1) | (STATES >> 1)], 1)
    following = np.stack([states << 1 & (STATES - 1), (states << 1 & (STATES - 1)) | 1], 1)
    registers = np.stack([states << 1, (states << 1) | 1], 1)
    gains = values @ _outputs(inverse_rate).T.astype(np.float64) / 2
    forward = np.zeros((length, len(values), STATES))
    metric = np.zeros((len(values), STATES))
    for step in range(2 * length):
        forward[step % length] = metric
        arriving = metric[:, previous] + gains[:, step % length][:, (previous << 1) | (states & 1)[:, None]]
        metric = arriving.max(2)
        metric -= metric.max(1, keepdims=True)
    odds = np.empty((len(values), length))
    metric = np.zeros((len(values), STATES))
    for step in range(2 * length - 1, -1, -1):
        leaving = metric[:, following] + gains[:, step % length][:, registers]
        if step < length:
            best = (forward[step][..., None] + leaving).max(1)
            odds[:, step] = np.abs(best[:, 0] - best[:, 1])
        metric = leaving.max(2)
        metric -= metric.max(1, keepdims=True)
    return odds
