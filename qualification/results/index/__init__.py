"""The store: an index of runs in a database, SQLite beside them or PostgreSQL for several machines.

It is never the only copy of a run: its directory has everything, and is imported again at any time.
"""
