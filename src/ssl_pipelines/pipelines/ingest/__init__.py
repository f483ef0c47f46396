"""Raw files to images.npy and manifest.parquet."""
