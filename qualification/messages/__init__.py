"""What controller and agents say to each other: orders, answers and their decoder."""
