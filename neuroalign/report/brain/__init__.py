"""Values on the cortex and in slices, still and turning."""
