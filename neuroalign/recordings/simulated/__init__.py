"""Simulated studies with a known truth: stories that are heard, and images that are seen."""
