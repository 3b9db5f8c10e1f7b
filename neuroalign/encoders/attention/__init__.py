"""Cross-attention from voxels to tokens: the network, how it is trained, and how people join it."""
