"""From pictures of known origin to a profile."""
