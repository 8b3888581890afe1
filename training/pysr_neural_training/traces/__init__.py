"""Making and looking at traces: the commands `pysr-neural traces generate | inspect | lineage | export`."""
