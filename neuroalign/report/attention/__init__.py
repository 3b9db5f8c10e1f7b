"""What cross-attention learned: layers that count, delays, receptive fields."""
