"""What a run writes, apart from its results: the directory, the log, the JUnit report."""
