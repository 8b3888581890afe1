"""Reports of benchmark runs: one self-contained HTML page and one Markdown file."""
