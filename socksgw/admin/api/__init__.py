"""
What the admin interface serves, one file for each subject.
"""
