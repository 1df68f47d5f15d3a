"""Traffic that no verdict rests on: reverse traffic, and what throughput is measured with."""
