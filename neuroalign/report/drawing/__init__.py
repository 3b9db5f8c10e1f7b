"""What all drawings share, and those of layers and scores."""
