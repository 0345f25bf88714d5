"""What the servers of models are asked, and what their answers mean: a module for each.

`torchserve` is its REST API, `management` the calls that control it, `worker` the socket of its worker. `http` holds
for any server, `leaves` turns JSON into the rows of a golden. goldmar.seam has what they share.
"""
