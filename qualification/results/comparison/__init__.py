"""Two runs compared, cell by cell, by statistics: what has changed, and what cannot be told."""
