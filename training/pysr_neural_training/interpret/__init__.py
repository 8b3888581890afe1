"""What a policy prefers in which search state, and its static form: the command `pysr-neural interpret`."""
