"""The numbered steps that bring a database to the newest schema; a released one is never edited."""
