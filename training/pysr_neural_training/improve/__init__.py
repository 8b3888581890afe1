"""Making a proposer better than the engine it was trained on: DAgger, expert iteration, reinforcement learning."""
