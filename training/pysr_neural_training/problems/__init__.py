"""Random problems: drawing, identifying and splitting them; datasets of them on disk, and reading them back."""
