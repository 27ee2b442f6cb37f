"""Tells waiting readers that a segment grew."""
