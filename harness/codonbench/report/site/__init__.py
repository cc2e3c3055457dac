"""The leaderboard as a page: records and trajectories reduced to what a browser opens from disk."""
