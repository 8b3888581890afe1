"""Methods that benchmarks run, behind one contract; see `methods.base`."""
