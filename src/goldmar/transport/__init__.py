"""HTTP: one kept-alive connection, what the network can do to it in words, trust and proxies.

`predict` sends drawings over it, `serve` its control calls; both are bounded by it in size and time.
"""
