"""A photo store: an index of who is in which photo and how they look, kept up to date and searched.

The library is one Parquet file: a row a face, or one for a photo without an answerable face, with the columns of
`caer.predict.table` behind `path` (relative to the indexed folder), `size`, `mtime_ns`, `checked_ns` and `sha256` of the file.
Its metadata, key `caer`, is JSON: schema_version, root, identity (which network and settings answered), forgotten.
"""
