"""Language models over tables: one set of verbs for every provider, and a durable batch server of your own."""
