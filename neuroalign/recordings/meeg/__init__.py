"""EEG, MEG and iEEG: from recordings to responses of channels, or of channels at a latency."""
