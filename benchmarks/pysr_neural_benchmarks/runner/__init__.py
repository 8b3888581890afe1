"""Running methods on suites: each fit in a process of its own, resumable, as Parquet with its provenance."""
