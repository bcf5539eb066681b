"""What is written to disk or shown: whole or not at all, one writer at a time, names made harmless."""
