"""The places where file bodies can live: one file per implementation of `Blobs`."""
