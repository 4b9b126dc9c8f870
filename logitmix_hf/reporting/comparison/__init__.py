"""Many runs set beside each other: which may be compared, every number of each, and which best is supported. Values only."""
