"""Is a record sound, and does it repeat?"""
