"""
Where users are kept elsewhere: directories, a decision service, PAM.
"""
