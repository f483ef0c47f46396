"""Great Expectations: what a store and extracted features are held against, and the pages of what was found."""
