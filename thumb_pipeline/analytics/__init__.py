"""Questions to the tables, each a function LazyFrame -> LazyFrame. Reading and writing tables is elsewhere."""
