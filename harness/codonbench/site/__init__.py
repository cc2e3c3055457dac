"""The leaderboard as a page: records and traces reduced to what a browser opens from disk."""
