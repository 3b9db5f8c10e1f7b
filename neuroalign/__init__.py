"""Which layer of which network predicts each place in the brain, how well, and how sure we are."""

__version__ = "0.1.0"
