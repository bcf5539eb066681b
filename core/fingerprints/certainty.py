"""How certain is each bit of a key that was read? The scale that turns soft values into logarithmic odds.

A coded bit with read-out y agrees with what was written with odds exp(slope·|y|): a larger read-out is surer. The slope
is fitted by logistic regression to which read-outs of the picture agree with the codeword that was decoded. For normal
read-outs it comes to twice their mean over their variance; but a mark moves read-outs *at least* to a margin, many lie
far beyond it, and their variance says nothing of the errors (Hastie, Tibshirani & Friedman, The Elements of Statistical
Learning, 2nd ed., section 4.4, for the fit).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

# As many made-up disagreements, of a middling read-out, are added: where all agree the fit would know no bound.
MADE_UP = 1.0


def agreement_slope(agreeing: NDArray[np.floating]) -> float:
    """The slope of ``agreeing`` ``[n]``: read-outs signed by the decoded codeword, negative where they disagree; >= 0.

    The maximum of sum log sigmoid(slope·a), which is concave. 0 where agreement says nothing, or nothing was read.
    """
    middling = float(np.median(np.abs(agreeing)))
    if middling == 0:
        return 0.0
    values = np.append(agreeing / middling, -1.0)
    counts = np.append(np.ones(len(agreeing)), MADE_UP)

    def rise(slope: float) -> float:
        return float((counts * values * expit(-slope * values)).sum())

    if rise(0.0) <= 0:
        return 0.0
    above = 1.0
    while rise(above) > 0:
        above *= 2
    return float(brentq(rise, 0.0, above)) / middling
