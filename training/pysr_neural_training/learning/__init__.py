"""Training a checkpoint: configurations, the trainer, evaluation, run directories."""
