"""Problems on disk: making datasets of them, and reading them back for training."""
