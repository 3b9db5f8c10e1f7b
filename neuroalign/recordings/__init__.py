"""fMRI recordings: found, checked, cleaned run by run, and labelled."""
