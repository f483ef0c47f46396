"""Methods that predict one view's embedding from another's, without negatives."""
