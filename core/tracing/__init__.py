"""The one road from a picture to its answer."""
