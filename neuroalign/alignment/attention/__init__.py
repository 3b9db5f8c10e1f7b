"""Cross-attention through the same folds: what a sample looks at, one subject or several."""
