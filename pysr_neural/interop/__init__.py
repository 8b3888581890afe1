"""Everything that knows both sides: the proposer server, Julia's start, the plugin, the estimator, the report.

Importing this package imports none of pysr, juliacall, torch; its modules do so where they must.
"""
