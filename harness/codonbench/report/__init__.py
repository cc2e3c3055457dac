"""What people read: the Markdown board and the page. Imports ranking."""
