"""What a model is trained on: examples from expressions and from traces, in one builder."""
