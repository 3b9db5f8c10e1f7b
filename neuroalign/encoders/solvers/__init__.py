"""Ridge regression as linear algebra: moments or kernels decomposed once per fold, any number of targets."""
