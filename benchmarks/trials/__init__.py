"""What explores: optimisers and schedules, ways to round, and what the coder of symbols is worth."""
