"""Files behind URIs, written whole or not at all; digests; callbacks of progress;
the device that torch computes on.

In: bytes and paths. Out: files, digests, mappings. Imports only `medlabel.errors`.
"""
