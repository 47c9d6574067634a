"""Use cases from a trained candidate to the champion: evaluation, gate, promotion, rollback, pruning."""
