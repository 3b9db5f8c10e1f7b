"""Where networks are read: layers, their parts, and what is kept of them."""
