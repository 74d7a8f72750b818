"""Reading the journal's lines by number, time and content, fast."""
