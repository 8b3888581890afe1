"""Studies of BasicSR: commands that write a Markdown report with pictures."""
