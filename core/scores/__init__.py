"""Scores: image → number, lower for belonging images; one per module."""
