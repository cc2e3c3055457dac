"""What a trained model rests on: which letters, which motifs, and how its items lie together."""
