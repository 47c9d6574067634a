"""A batch classification workflow: articles in Postgres, a DistilBERT, labels back."""
