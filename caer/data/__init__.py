"""From manifests to batches.

`rows` selects and labels, `dataset` decodes, `transforms` augments, `sampler` orders, `loaders` puts them together for a stage,
`features` replaces pictures by what frozen branches make of them.
"""
