"""What a run shows, when the model is asked, and when it ends. Imports contracts and data."""
