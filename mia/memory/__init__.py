"""Memory: what followed in the situations most like this one. Read by desk.feature_pipeline."""
