"""Tables: what lies beside the page, and what of it the page prints."""
