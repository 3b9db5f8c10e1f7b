"""Simulated studies with a known truth: stories that are heard, images that are seen."""
