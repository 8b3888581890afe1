"""Runs PySR's own tests with our estimator in place of PySR's: ``python -m tests.interop.run_pysr_tests [--plain]``.

Prints one line per failing test.  With ``--plain`` it runs them as they are, for comparison; arguments after that are
names of test cases (all by default).  Takes from ten minutes to an hour.
"""

import sys
import unittest


def main(arguments: list[str]) -> int:
    plain = "--plain" in arguments
    wanted = [name for name in arguments if name != "--plain"]
    import pysr.test.test_main as tests

    from pysr_neural import PySRRegressor

    if not plain:
        tests.PySRRegressor = PySRRegressor
    loader, suite = unittest.TestLoader(), unittest.TestSuite()
    for case in tests.runtests(just_tests=True):
        if not wanted or case.__name__ in wanted:
            suite.addTests(loader.loadTestsFromTestCase(case))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    for kind, found in (("FAILED", result.failures), ("ERROR", result.errors)):
        for test, trace in found:
            print(kind, test.id(), "|", trace.strip().splitlines()[-1][:200])
    print(
        f"{'plain' if plain else 'ours'}: {result.testsRun} run, {len(result.failures)} failed, "
        f"{len(result.errors)} errors, {len(result.skipped)} skipped"
    )
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
