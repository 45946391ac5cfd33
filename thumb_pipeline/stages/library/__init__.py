"""What a library is: its folders, settings, tables and locks; who was killed in it. Nothing is listed here."""
