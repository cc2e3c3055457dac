"""Built-in metrics; each class with a name is one."""
