"""Commands that the task adds to `bench`, a file each; what they need is imported when called."""
