"""
Any program through a gateway: C{socksgw run}.
"""
