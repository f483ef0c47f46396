"""Methods that pull two embeddings together without negatives: a predictor, a slow target or a decorrelation keeps them from a point."""
