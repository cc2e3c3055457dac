"""What a score on a data set is worth: copies of training items, and rules that need no model."""
