"""Why throughput dropped: pure reckoning over what a node saw, second by second."""
