"""Corpora: a million pictures judged on Ray, resumable, one row each in Parquet.

A wing of its own: the command line knows it, it knows the core, and neither core nor nodes know it. What it needs
beyond them (Ray, pyarrow, fsspec) is the extra ``corpus``.
"""
