"""Pictures as tensors: how they are rounded, altered, and what their pixels show of their past."""
