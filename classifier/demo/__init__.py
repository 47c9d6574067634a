"""The whole workflow on real articles, from nothing, for somebody new."""
