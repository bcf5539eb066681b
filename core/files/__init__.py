"""Files of pictures: formats, colours, turns, and what their metadata claim."""
