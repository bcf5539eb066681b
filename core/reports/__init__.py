"""Answers in words, rows, pages and pictures."""
