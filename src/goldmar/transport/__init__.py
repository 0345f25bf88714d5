"""HTTP: kept-alive connections, what the network can do to them in words, trust and proxies.

Drawings go through a Pool, single questions through Control; both are bounded in size and time, and share their words.
"""
