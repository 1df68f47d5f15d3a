"""Results are rows; every report here is a view of them."""
