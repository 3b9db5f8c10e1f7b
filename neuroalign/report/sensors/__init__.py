"""EEG, MEG and iEEG: layers in time, topographies, kernels over lags, and what is said of them."""
