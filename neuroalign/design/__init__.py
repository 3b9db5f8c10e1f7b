"""From words at their times to features of samples, and what is held out."""
