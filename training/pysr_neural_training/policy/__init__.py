"""Training of the policy that makes the algorithm's decisions (`pysr_neural.proposer.policy`)."""
