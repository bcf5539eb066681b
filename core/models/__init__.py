"""Autoencoders and generators, how they are read from files, and the digest of their weights."""
