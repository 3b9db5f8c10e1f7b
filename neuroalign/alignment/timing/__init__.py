"""When layers predict epochs, what patterns over channels tell, and how both go with depth."""
