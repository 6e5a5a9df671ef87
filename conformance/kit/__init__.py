"""What the suites share: where the server is, how a check is reported, and a small protocol client.

Only the standard library is used here, so that every suite and every Python can import it.
"""
