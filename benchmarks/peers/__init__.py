"""What others publish for the same question, implemented from their formulas: measured beside ours, not shipped."""
