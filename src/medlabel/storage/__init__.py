"""Files behind URIs, SHA-256 digests, user-written YAML, progress callbacks, the torch device.

In: bytes, tables and paths or URIs.
Out: files that are written atomically, digests, mappings read from YAML.
Imports `medlabel.errors` only.
"""
