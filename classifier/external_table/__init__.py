"""Label a table or query of another database: one package from its definition to the written labels."""
